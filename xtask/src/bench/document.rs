//! Writes `docs/benchmarks.md` from the figures.

use std::fmt::Write as _;
use std::fs;
use std::time::SystemTime;

use super::calls::{Measured, Table};
use super::figures::{Figures, MANY_CONNECTIONS};
use super::h2load::Sample;
use super::observability_cost::KINDS;
use super::peers::Peer;
use super::process;
use super::targets::targets;
use crate::harness::command::{capture, program};

/// Above this share the figures are unreliable.
const MAX_STEAL: f64 = 0.05;

pub(super) fn markdown(figures: &Figures) -> anyhow::Result<String> {
    let mut text = String::from("# Benchmarks\n\nWritten by `cargo xtask bench`; ");
    let effort = figures.effort;
    write!(
        text,
        "{}.\nMachine: {}.\n\n\
         Server and generator (h2load) have a core each. Medians of {} rounds of {} s, all servers in turn \
         in each round.\nCPU is the user and system time of the server; the ratio is to stock tonic, round by \
         round.\nThe size of all replies is checked. A shape is connections x concurrent calls on each.\n\n![CPU time of a call](benchmarks.svg)\n",
        &humantime::format_rfc3339(SystemTime::now()).to_string()[..10],
        machine()?,
        effort.rounds,
        effort.seconds_per_sample,
    )?;
    steal(&mut text, figures)?;
    verdicts(&mut text, figures)?;
    let cpu = |row: &Measured, table: &Table| {
        let ratio = table.cpu_ratio(row.peer, Peer::StockTonic);
        let ratio = ratio.map(|ratio| format!(" ({ratio:.2})")).unwrap_or_default();
        format!("{:.1}{ratio}", row.median(|sample| sample.cpu_us_per_call))
    };
    by_shape(&mut text, "CPU time of a call, us", figures, cpu)?;
    let rate = |row: &Measured, _: &Table| {
        let mark = if row.is_client_bound() { "*" } else { "" };
        format!("{:.0}{mark}", row.median(|sample| sample.calls_per_s))
    };
    by_shape(&mut text, "Calls a second on one core", figures, rate)?;
    text.push_str("\n\\* The generator was the bottleneck: the server could do more.\n");
    let latency = |row: &Measured, _: &Table| {
        let [mean, max] =
            [|it: &Sample| it.mean_us, |it: &Sample| it.max_us].map(|f| row.median(f));
        format!("{mean:.0} / {max:.0}")
    };
    by_shape(&mut text, "Latency under that load, mean / max, us", figures, latency)?;
    payloads(&mut text, figures)?;
    observability(&mut text, figures)?;
    processes(&mut text, figures)?;
    one_shots(&mut text, figures)?;
    versions(&mut text, figures)?;
    Ok(text)
}

fn steal(text: &mut String, figures: &Figures) -> anyhow::Result<()> {
    let rows = figures.shapes.iter().flat_map(|table| &table.rows);
    let max = rows.map(Measured::max_steal).fold(0.0, f64::max);
    let verdict = if max > MAX_STEAL { ": the figures are unreliable" } else { "" };
    writeln!(
        text,
        "\nTime stolen by other guests of the machine: at most {:.1} %{verdict}.",
        max * 100.0
    )?;
    Ok(())
}

fn verdicts(text: &mut String, figures: &Figures) -> anyhow::Result<()> {
    text.push_str("\n## Targets\n\n| figure | target | measured | result |\n|---|---|---|---|\n");
    for target in targets(figures) {
        let (what, bound, measured) = (&target.what, target.bound(), target.measured);
        let result = if target.is_met() { "met" } else { "**missed**" };
        writeln!(text, "| {what} | {bound} | {measured:.2} | {result} |")?;
    }
    Ok(())
}

fn by_shape(
    text: &mut String,
    title: &str,
    figures: &Figures,
    cell: impl Fn(&Measured, &Table) -> String,
) -> anyhow::Result<()> {
    let names = figures.shapes.iter().map(|table| table.shape.name());
    writeln!(text, "\n## {title}\n\n| server | {} |", names.collect::<Vec<_>>().join(" | "))?;
    writeln!(text, "|---|{}", "---|".repeat(figures.shapes.len()))?;
    for (peer, _) in &figures.versions {
        let cells = figures.shapes.iter().filter_map(|table| Some(cell(table.of(*peer)?, table)));
        writeln!(text, "| {} | {} |", peer.name(), cells.collect::<Vec<_>>().join(" | "))?;
    }
    Ok(())
}

fn payloads(text: &mut String, figures: &Figures) -> anyhow::Result<()> {
    let sizes = figures.payloads.iter().map(|(bytes, _)| format!("{bytes} B"));
    let sizes = sizes.collect::<Vec<_>>().join(" | ");
    writeln!(
        text,
        "\n## CPU time of a call by length of the name, 10x10, us\n\n| server | {sizes} |"
    )?;
    writeln!(text, "|---|{}", "---|".repeat(figures.payloads.len()))?;
    for (peer, _) in &figures.versions {
        let cells = figures.payloads.iter().filter_map(|(_, table)| {
            Some(format!("{:.1}", table.of(*peer)?.median(|sample| sample.cpu_us_per_call)))
        });
        let cells: Vec<_> = cells.collect();
        if !cells.is_empty() {
            writeln!(text, "| {} | {} |", peer.name(), cells.join(" | "))?;
        }
    }
    let tls = figures.tls.cpu_ratio(Peer::GreetTls, Peer::Greet).unwrap_or(f64::NAN);
    let (many, ratio) = (MANY_CONNECTIONS, figures.many_connections_ratio);
    writeln!(
        text,
        "\nWith TLS a call of greet-server costs {tls:.2} times what it does without (10x10); with {many} idle \
         connections beside the ten, {ratio:.2} times.",
    )?;
    Ok(())
}

fn observability(text: &mut String, figures: &Figures) -> anyhow::Result<()> {
    text.push_str(
        "\n## Observability overhead, 10x10\n\n| greet-server with | CPU time of a call, us | to without |\n|---|---|---|\n",
    );
    for kind in KINDS.into_iter().skip(1) {
        let cpu =
            figures.observability.of(kind).map(|row| row.median(|sample| sample.cpu_us_per_call));
        let (cpu, ratio) =
            (cpu.unwrap_or(f64::NAN), figures.observability.cpu_ratio(kind, Peer::Greet));
        let ratio = ratio.unwrap_or(f64::NAN);
        writeln!(text, "| {} | {cpu:.1} | {ratio:.2} |", kind.name())?;
    }
    Ok(())
}

fn processes(text: &mut String, figures: &Figures) -> anyhow::Result<()> {
    let idle = process::IDLE_CONNECTIONS;
    writeln!(
        text,
        "\n## The process\n\n| server | KiB an idle connection ({idle}) | MiB at rest | ms from exec to the \
         first reply |\n|---|---|---|---|"
    )?;
    for process in &figures.processes {
        let (name, each) = (process.peer.name(), process.kib_per_connection);
        let (rest, first) = (process.kib_at_rest as f64 / 1024.0, process.first_reply_ms);
        writeln!(text, "| {name} | {each:.1} | {rest:.1} | {first:.1} |")?;
    }
    Ok(())
}

fn one_shots(text: &mut String, figures: &Figures) -> anyhow::Result<()> {
    text.push_str(
        "\n## One call from the command line\n\n| client | ms from exec to exit |\n|---|---|\n",
    );
    for client in &figures.one_shots {
        writeln!(text, "| {} | {:.1} |", client.name, client.ms)?;
    }
    Ok(())
}

fn versions(text: &mut String, figures: &Figures) -> anyhow::Result<()> {
    text.push_str("\n## Versions\n\n| server | version |\n|---|---|\n");
    for (peer, version) in &figures.versions {
        writeln!(text, "| {} | {version} |", peer.name())?;
    }
    for missing in &figures.missing {
        writeln!(text, "\nSKIP {missing}")?;
    }
    Ok(())
}

/// Returns the machine as `2 cores, AMD EPYC, Linux 6.1, rustc 1.95.0`.
fn machine() -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown processor");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let rust = capture(program("rustc").arg("--version"))?.succeeded()?;
    let (kernel, rust) = (kernel.trim(), rust.trim());
    Ok(format!("{cores} cores, {model}, Linux {kernel}, {rust}"))
}
