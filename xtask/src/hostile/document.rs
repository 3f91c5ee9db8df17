//! Writes `docs/hostile.md` from the figures.

use std::fmt::Write as _;
use std::time::Duration;

use super::attack::Attack;
use super::attacks::ATTACKS;
use super::good_client::RATE;
use super::servers::{MAX_BYTES, Servers};
use super::trial::{CALL_TIMEOUT, Row, Trial};
use crate::harness::machine;

pub(super) const FILE: &str = "docs/hostile.md";

/// Above the load average of two cores that have just built the servers.
const CALM_LOAD: f64 = 3.0;

/// Beyond these another server does better, and not by chance.
const CLEAR_P99: Duration = Duration::from_millis(5);
const CLEAR_CPU_SHARE: f64 = 0.1;
const CLEAR_KIB: u64 = 8 * 1_024;

const COLUMNS: &str = "\
## What the figures mean

**Bold** is a figure of greet-server where another server of the table does clearly better. \u{2014} stands for a server
without the attacked port: the others serve gRPC in plaintext only.

- **Served**: the calls of the well-behaved client that were answered, of those that were due, and the 99th percentile
  of their latency.
- **Cut**: the time until the server closed a connection of an attacker for the first time. A server that ends the
  calls of an attacker, and keeps the connection, never cuts it.
- **CPU**: user and system time of the server, as a share of its core. A peer that is cut connects again at once, so
  a flood costs each server what the attackers' core can send.
- **Memory**: the maximum of the resident memory above that of the idle server.
";

/// A table: its title, and a cell of it.
type Cell = fn(&Trial, u64) -> String;

/// Describes the machine, and whether other work makes figures unreliable.
pub(super) fn machine() -> anyhow::Result<String> {
    let (machine, load) = (machine::machine()?, machine::load_average()?);
    let verdict = if load > CALM_LOAD { ": other work makes the figures unreliable" } else { "" };
    Ok(format!("Machine: {machine}.\nLoad average before the run: {load:.1}{verdict}."))
}

pub(super) fn markdown(
    machine: &str,
    servers: &Servers,
    unattacked: &[Trial],
    rows: &[Row],
) -> anyhow::Result<String> {
    let mut text = String::from("# Hostile clients\n\nWritten by `cargo xtask hostile`; ");
    let (mib, timeout) = (MAX_BYTES / 1_024 / 1_024, CALL_TIMEOUT.as_secs());
    write!(
        text,
        "{}.\n{machine}\n\n\
         Each attack meets each server alone, for some seconds, in a fresh process. All servers have their default\n\
         configuration, which for most has few limits; greet-server has `--grpc-web`, `--admin-listen` or a certificate\n\
         where the attack needs one. A server has one core and {mib} MiB of memory (a cgroup; greet-server takes half of\n\
         it as `--memory-limit`). Attackers and a well-behaved client share another core, on which the client has\n\
         priority: {RATE} calls a second on one connection, and a call on a new connection about every 100 ms. A call\n\
         that takes {timeout} s has failed.\n\n{COLUMNS}",
        machine::date(),
    )?;
    summary(&mut text, servers, rows)?;
    table(&mut text, "Served", servers, unattacked, rows, served, is_served_worse)?;
    table(&mut text, "Cut", servers, &[], rows, cut, is_cut_worse)?;
    table(&mut text, "CPU", servers, unattacked, rows, cpu, is_cpu_worse)?;
    table(&mut text, "Memory", servers, unattacked, rows, memory, is_memory_worse)?;
    text.push_str(&attacks());
    text.push_str("\n## Versions\n\n| server | version |\n|---|---|\n");
    for server in &servers.all {
        writeln!(text, "| {} | {} |", server.name, server.version)?;
    }
    // <greeter>
    text.push_str(
        "\nThe packages of Debian 12 are of 2020 (grpc-go) and 2022 (gRPC C++), before the fixes for several of \
         these\nattacks. Newer versions may do better.\n",
    );
    // </greeter>
    for missing in &servers.missing {
        writeln!(text, "\nSKIP {missing}")?;
    }
    Ok(text)
}

/// Returns the section with what each attack does, and which limit ends it.
fn attacks() -> String {
    let mut text = String::from(
        "\n## The attacks\n\nLimits and their reasons are in [limits.md](limits.md); a cause in parentheses is that of \
         `greet_connections_closed_total`.\n\n\
         | attack | peers | each peer, again and again | limit of greet-server |\n|---|---|---|---|\n",
    );
    for Attack { name, peers, what, limit, effect, .. } in ATTACKS {
        let cause = effect.close_reason().map(|cause| format!(" (`{cause}`)"));
        text.push_str(&format!(
            "| {name} | {peers} | {what} | {limit}{} |\n",
            cause.unwrap_or_default()
        ));
    }
    text
}

/// Counts the attacks that each server met.
fn summary(text: &mut String, servers: &Servers, rows: &[Row]) -> anyhow::Result<()> {
    text.push_str(
        "\n## Summary\n\n| server | attacks | every call answered | fewer than 9 of 10 | killed |\n\
         |---|---|---|---|---|\n",
    );
    for (index, server) in servers.all.iter().enumerate() {
        let trials: Vec<_> = rows.iter().filter_map(|row| row.trials[index].as_ref()).collect();
        let count = |is_counted: fn(&&&Trial) -> bool| trials.iter().filter(is_counted).count();
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            server.name,
            trials.len(),
            count(|trial| trial.good.success() == 1.0),
            count(|trial| trial.good.success() < 0.9),
            count(|trial| trial.ended.is_some()),
        )?;
    }
    Ok(())
}

fn table(
    text: &mut String,
    title: &str,
    servers: &Servers,
    unattacked: &[Trial],
    rows: &[Row],
    cell: Cell,
    is_worse: fn(&Trial, &Trial) -> bool,
) -> anyhow::Result<()> {
    let names: Vec<_> = servers.all.iter().map(|server| server.name).collect();
    writeln!(text, "\n## {title}\n\n| attack | {} |", names.join(" | "))?;
    writeln!(text, "|---|{}", "---|".repeat(names.len()))?;
    if !unattacked.is_empty() {
        let cells: Vec<_> = unattacked.iter().map(|trial| cell(trial, 0)).collect();
        writeln!(text, "| none | {} |", cells.join(" | "))?;
    }
    for Row { attack, seconds, trials } in rows {
        let [ours, others @ ..] = &trials[..] else { continue };
        let is_beaten = |ours: &Trial| others.iter().flatten().any(|other| is_worse(ours, other));
        let mut cells = vec![match ours {
            Some(trial) if is_beaten(trial) => format!("**{}**", cell(trial, *seconds)),
            Some(trial) => cell(trial, *seconds),
            None => "\u{2014}".to_owned(),
        }];
        let other = |trial: &Option<Trial>| match trial {
            Some(trial) => cell(trial, *seconds),
            None => "\u{2014}".to_owned(),
        };
        cells.extend(others.iter().map(other));
        writeln!(text, "| {} | {} |", attack.name, cells.join(" | "))?;
    }
    Ok(())
}

fn served(trial: &Trial, _: u64) -> String {
    let percent = (trial.good.success() * 1_000.0).floor() / 10.0; // 100 % only if all were
    match trial.good.p99 {
        Some(p99) => format!("{percent} %, {}", duration(p99)),
        None => format!("{percent} %"),
    }
}

fn is_served_worse(ours: &Trial, other: &Trial) -> bool {
    let (success, others) = (ours.good.success(), other.good.success());
    let p99 = |trial: &Trial| trial.good.p99.unwrap_or(Duration::MAX);
    let is_slower = p99(other) < p99(ours) / 2 && p99(ours) - p99(other) > CLEAR_P99;
    others > success || others == success && is_slower
}

fn cut(trial: &Trial, seconds: u64) -> String {
    match trial {
        Trial { ended: Some(ended), .. } => format!("killed after {}", duration(*ended)),
        Trial { first_cut: Some(first), .. } => duration(*first),
        _ => format!("never in {seconds} s"),
    }
}

fn is_cut_worse(ours: &Trial, other: &Trial) -> bool {
    ours.first_cut.is_none() && other.first_cut.is_some() && other.ended.is_none()
}

fn cpu(trial: &Trial, _: u64) -> String {
    let percent = trial.cpu_share * 100.0;
    match trial.sent_bytes {
        0 => format!("{percent:.0} %"),
        bytes @ 1..1_000_000 => format!("{percent:.0} %, {} KB", bytes.div_ceil(1_000)),
        bytes => format!("{percent:.0} %, {} MB", bytes / 1_000_000),
    }
}

fn is_cpu_worse(ours: &Trial, other: &Trial) -> bool {
    other.ended.is_none() && ours.cpu_share > other.cpu_share + CLEAR_CPU_SHARE
}

fn memory(trial: &Trial, _: u64) -> String {
    match trial.ended {
        Some(_) => format!("killed at {} MiB", MAX_BYTES / 1_024 / 1_024),
        None => format!("{} MiB", trial.peak_kib.div_ceil(1_024)),
    }
}

fn is_memory_worse(ours: &Trial, other: &Trial) -> bool {
    other.ended.is_none() && ours.peak_kib > 2 * other.peak_kib + CLEAR_KIB
}

fn duration(duration: Duration) -> String {
    match duration.as_micros() {
        0..10_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{} ms", duration.as_millis()),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // <greeter>
    #[test]
    fn document_has_the_current_list_of_attacks() {
        let text = std::fs::read_to_string(crate::harness::programs::root().join(FILE)).unwrap();
        assert!(text.contains(&attacks()), "{FILE} should have the section{}", attacks());
    }
    // </greeter>

    #[test]
    fn durations_have_two_or_three_digits() {
        let shown = |micros| duration(Duration::from_micros(micros));
        assert_eq!(
            [950, 9_999, 12_345, 1_250_000].map(shown),
            ["0.9 ms", "10.0 ms", "12 ms", "1.2 s"]
        );
    }
}
