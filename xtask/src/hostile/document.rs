//! Writes `docs/hostile.md` from the figures.

use std::fmt::Write as _;
use std::time::Duration;

use super::attack::Attack;
use super::attacks::ATTACKS;
use super::good_client::{CONNECT_INTERVAL, RATE};
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

/// A table with a figure of each trial.
struct Figure {
    title: &'static str,
    /// Whether the figure means something without an attack.
    has_unattacked: bool,
    cell: fn(&Trial, u64) -> String,
    /// Whether another server does clearly better than greet-server.
    is_worse: fn(&Trial, &Trial) -> bool,
}

const FIGURES: [Figure; 4] = [
    Figure { title: "Served", has_unattacked: true, cell: served, is_worse: is_served_worse },
    Figure { title: "Cut", has_unattacked: false, cell: cut, is_worse: is_cut_worse },
    Figure { title: "CPU", has_unattacked: true, cell: cpu, is_worse: is_cpu_worse },
    Figure { title: "Memory", has_unattacked: true, cell: memory, is_worse: is_memory_worse },
];

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
    write!(text, "{}.\n{machine}\n\n{}", machine::date(), introduction())?;
    // <greeter>
    text.push_str(&caveats(servers));
    // </greeter>
    text.push_str(&columns());
    summary(&mut text, servers, rows)?;
    for figure in &FIGURES {
        table(&mut text, figure, servers, unattacked, rows)?;
    }
    text.push_str(&attacks());
    for missing in &servers.missing {
        writeln!(text, "\nSKIP {missing}")?;
    }
    Ok(text)
}

fn introduction() -> String {
    let (mib, timeout) = (MAX_BYTES / 1_024 / 1_024, CALL_TIMEOUT.as_secs());
    let interval = CONNECT_INTERVAL.as_millis();
    format!(
        "Each attack meets each server alone, for some seconds, in a fresh process. All servers have their default\n\
         configuration; greet-server has `--grpc-web`, `--admin-listen` or a certificate where the attack needs one. A\n\
         server has one core and {mib} MiB of memory (a cgroup; greet-server takes half of it as `--memory-limit`).\n\
         Attackers and a well-behaved client share another core, on which the client has priority: {RATE} calls a second\n\
         on one connection, and a call on a new connection every {interval} ms, each when it is due. A call that takes\n\
         {timeout} s has failed.\n"
    )
}

// <greeter>
/// Says what the others lack: fixes that are younger, and limits that an operator has to set.
fn caveats(servers: &Servers) -> String {
    let old = servers
        .all
        .iter()
        .filter_map(|server| server.year.map(|year| format!("{} is of {year}", server.name)));
    let mut old = old.collect::<Vec<_>>().join(" and ");
    if !old.is_empty() {
        old.push_str(
            ", before the fixes for several of these attacks. Newer versions may do\nbetter. ",
        );
    }
    format!(
        "\n{old}By default none of the other libraries limits open calls or memory. An operator would set\n\
         `max_concurrent_streams` and `concurrency_limit_per_connection` of tonic, `grpc.MaxConcurrentStreams` of grpc-go,\n\
         and `GRPC_ARG_MAX_CONCURRENT_STREAMS` and a `grpc::ResourceQuota` of gRPC C++.\n"
    )
}
// </greeter>

/// Explains the tables, and when a figure is bold.
fn columns() -> String {
    let (timeout, p99) = (CALL_TIMEOUT.as_secs(), CLEAR_P99.as_millis());
    let (points, mib) = (CLEAR_CPU_SHARE * 100.0, CLEAR_KIB / 1_024);
    format!(
        "\n## What the figures mean\n\n\
         **Bold** is a figure of greet-server where another server does clearly better: it answers more calls, or as many\n\
         at less than half of the p99 and more than {p99} ms below it; it cuts a connection, and greet-server none; its share\n\
         of the core is more than {points} points lower; greet-server uses more than twice its memory and {mib} MiB. \u{2014} stands\n\
         for a server without the attacked port: the others serve gRPC in plaintext only.\n\n\
         - **Served**: the calls of the well-behaved client that were answered, of all that were due; the 99th percentile\n  \
         of the latency of those on the one connection, each from when it was due, so that it can exceed {timeout} s; and\n  \
         the longest call on a new connection, with the start of its process.\n\
         - **Cut**: the time until the server closed a connection of an attacker for the first time. A server that ends\n  \
         the calls of an attacker, and keeps the connection, never cuts it.\n\
         - **CPU**: user and system time of the server, as a share of its core, and what the attackers sent. A peer that is\n  \
         cut connects again at once, so a flood costs each server what the attackers' core can send.\n\
         - **Memory**: the maximum of the resident memory above that of the idle server. In all tables, \"killed\" means that\n  \
         the kernel ended the server at its memory limit.\n"
    )
}

/// Returns the section with what each attack does, and which limit ends it.
fn attacks() -> String {
    let mut text = String::from(
        "\n## The attacks\n\nLimits and their reasons are in [limits.md](limits.md); a cause in parentheses is that of \
         `greet_connections_closed_total`.\nA limit whose time is longer than the run does not act in it.\n\n\
         | attack | run | peers | each peer, again and again | limit of greet-server |\n|---|---|---|---|---|\n",
    );
    for Attack { name, seconds, peers, what, limit, effect, .. } in ATTACKS {
        let cause = effect.close_reason().map(|cause| format!(" (`{cause}`)"));
        text.push_str(&format!(
            "| {name} | {seconds} s | {peers} | {what} | {limit}{} |\n",
            cause.unwrap_or_default()
        ));
    }
    text
}

/// Counts the attacks that each server met.
fn summary(text: &mut String, servers: &Servers, rows: &[Row]) -> anyhow::Result<()> {
    text.push_str(
        "\n## Summary\n\n| server | version | attacks | every call answered | fewer than 9 of 10 | process ended |\n\
         |---|---|---|---|---|---|\n",
    );
    for (index, server) in servers.all.iter().enumerate() {
        let trials: Vec<_> = rows.iter().filter_map(|row| row.trials[index].as_ref()).collect();
        let count = |is_counted: fn(&&&Trial) -> bool| trials.iter().filter(is_counted).count();
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            server.name,
            server
                .year
                .map_or(server.version.clone(), |year| format!("{}, of {year}", server.version)),
            trials.len(),
            count(|trial| trial.good.success() == 1.0),
            count(|trial| trial.good.success() < 0.9),
            count(|trial| trial.ended.is_some()),
        )?;
    }
    let bold = FIGURES.iter().flat_map(|figure| {
        let rows = rows.iter().filter(|row| figure.is_beaten(row));
        rows.map(|row| format!("{} ({})", row.attack.name, figure.title))
    });
    let bold: Vec<_> = bold.collect();
    let bold = if bold.is_empty() { "none".to_owned() } else { bold.join(", ") };
    writeln!(
        text,
        "\nRows in which another server does clearly better than greet-server: {bold}."
    )?;
    Ok(())
}

impl Figure {
    /// Returns whether another server does clearly better in a row.
    fn is_beaten(&self, row: &Row) -> bool {
        let [Some(ours), others @ ..] = &row.trials[..] else { return false };
        others.iter().flatten().any(|other| (self.is_worse)(ours, other))
    }
}

fn table(
    text: &mut String,
    figure: &Figure,
    servers: &Servers,
    unattacked: &[Trial],
    rows: &[Row],
) -> anyhow::Result<()> {
    let Figure { title, cell, .. } = figure;
    let names: Vec<_> = servers.all.iter().map(|server| server.name).collect();
    writeln!(text, "\n## {title}\n\n| attack | {} |", names.join(" | "))?;
    writeln!(text, "|---|{}", "---|".repeat(names.len()))?;
    if figure.has_unattacked {
        let cells: Vec<_> = unattacked.iter().map(|trial| cell(trial, 0)).collect();
        writeln!(text, "| none | {} |", cells.join(" | "))?;
    }
    for row in rows {
        let cells = row.trials.iter().map(|trial| match trial {
            Some(trial) => cell(trial, row.seconds),
            None => "\u{2014}".to_owned(),
        });
        let mut cells: Vec<_> = cells.collect();
        if figure.is_beaten(row) {
            cells[0] = format!("**{}**", cells[0]); // greet-server is the first
        }
        writeln!(text, "| {} | {} |", row.attack.name, cells.join(" | "))?;
    }
    Ok(())
}

fn served(trial: &Trial, _: u64) -> String {
    let percent = (trial.good.success() * 1_000.0).floor() / 10.0; // 100 % only if all were
    let latencies = [trial.good.p99, trial.good.longest_connect].map(|latency| match latency {
        Some(latency) => duration(latency),
        None => "\u{2014}".to_owned(), // none was answered
    });
    format!("{percent} %, {}", latencies.join(", "))
}

fn is_served_worse(ours: &Trial, other: &Trial) -> bool {
    let (success, others) = (ours.good.success(), other.good.success());
    let p99 = |trial: &Trial| trial.good.p99.unwrap_or(Duration::MAX);
    let is_slower = p99(other) < p99(ours) / 2 && p99(ours) - p99(other) > CLEAR_P99;
    others > success || others == success && is_slower
}

fn cut(trial: &Trial, seconds: u64) -> String {
    match trial {
        Trial { ended: Some(end), .. } => format!("{end} after {}", duration(end.after)),
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
    let mib = trial.peak_kib.div_ceil(1_024);
    match trial.ended {
        Some(end) if end.is_killed_at_limit => {
            format!("killed at {} MiB", MAX_BYTES / 1_024 / 1_024)
        }
        Some(end) => format!("{end} at {mib} MiB"),
        None => format!("{mib} MiB"),
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
