//! Writes `docs/benchmarks.md` from the figures.

use std::fmt::Write as _;

use super::calls::{MAX_STEAL, Measured, Table};
use super::figures::{Figures, MANY_CONNECTIONS};
use super::h2load::Sample;
use super::observability_cost::KINDS;
use super::peers::{BURST_CALLS, Peer};
use super::process::{BURST_CONNECTIONS, IDLE_CONNECTIONS};
use super::targets::{Bound, Verdict, many_connections_ratio, targets};
use crate::harness::machine::{date, machine};

const ONE_BY_ONE: &str = "\n1x1: the processors halt between two calls; their halt and wake-up dominate these figures.\n";

pub(super) fn markdown(figures: &Figures) -> anyhow::Result<String> {
    let mut text = String::from("# Benchmarks\n\nWritten by `cargo xtask bench`; ");
    let effort = figures.effort;
    write!(
        text,
        "{}.\nMachine: {}.\n\n\
         Server and generator (h2load) have a core each. Medians of {} rounds of {} s, all servers in turn \
         in each round.\nCPU is the user and system time of the server; the ratio is to stock tonic, round by \
         round.\nThe size of all replies is checked. A shape is connections x concurrent calls on each.\n\n![CPU time of a call](benchmarks.svg)\n",
        date(),
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
    clients(&mut text, figures)?;
    versions(&mut text, figures)?;
    Ok(text)
}

fn steal(text: &mut String, figures: &Figures) -> anyhow::Result<()> {
    let max = figures.tables().map(|table| table.max_steal).fold(0.0, f64::max);
    let repeats: usize = figures.tables().map(|table| table.repeats).sum();
    let verdict = if max > MAX_STEAL { ": the figures are unreliable" } else { "" };
    writeln!(
        text,
        "\nTime stolen by other guests of the machine: at most {:.1} % of a round{verdict}. Rounds repeated \
         because of more than {:.0} %: {repeats}.",
        max * 100.0,
        MAX_STEAL * 100.0,
    )?;
    Ok(())
}

fn verdicts(text: &mut String, figures: &Figures) -> anyhow::Result<()> {
    text.push_str(
        "\n## Targets\n\n| figure | plain build | profile-guided build |\n|---|---|---|\n",
    );
    let cell = |verdict: Option<Verdict>| {
        let Some(verdict) = verdict else { return "-".to_owned() };
        let (comparison, bound) = match verdict.bound {
            Bound::AtMost(bound) => ("at most", bound),
            Bound::AtLeast(bound) => ("at least", bound),
        };
        let result = if verdict.is_met() { "met" } else { "**missed**" };
        format!("{:.2}, {comparison} {bound}: {result}", verdict.measured)
    };
    for target in targets(figures) {
        writeln!(text, "| {} | {} | {} |", target.what, cell(target.plain), cell(target.guided))?;
    }
    text.push_str(ONE_BY_ONE);
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
    text.push_str(ONE_BY_ONE);
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
    let (many, ratio) = (MANY_CONNECTIONS, many_connections_ratio(&figures.many_connections));
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
    writeln!(
        text,
        "\n## The process\n\nKiB of an idle connection, fresh ({IDLE_CONNECTIONS} of them) and after \
         {BURST_CALLS} calls at the same time\non each of {BURST_CONNECTIONS}.\n\n\
         | server | fresh | after a burst | MiB at rest | ms from exec to the first reply |\n\
         |---|---|---|---|---|"
    )?;
    for process in &figures.processes {
        let (name, fresh, burst) =
            (process.peer.name(), process.kib_per_connection, process.kib_after_burst);
        let (rest, first) = (process.kib_at_rest / 1024.0, process.first_reply_ms);
        writeln!(text, "| {name} | {fresh:.1} | {burst:.1} | {rest:.1} | {first:.1} |")?;
    }
    Ok(())
}

fn clients(text: &mut String, figures: &Figures) -> anyhow::Result<()> {
    text.push_str(
        "\n## The clients\n\n| one call from the command line | ms from exec to exit | ms of CPU |\n|---|---|---|\n",
    );
    for client in &figures.one_shots {
        writeln!(text, "| {} | {:.2} | {:.2} |", client.name, client.ms, client.cpu_ms)?;
    }
    text.push_str(
        "\n| load generator, 10x10 | CPU time of a call, us | to h2load |\n|---|---|---|\n",
    );
    writeln!(text, "| h2load | {:.1} | 1.00 |", figures.load.h2load_us)?;
    writeln!(
        text,
        "| greet-cli load | {:.1} | {:.2} |",
        figures.load.greet_us, figures.load.ratio
    )?;
    if let Some(load) = &figures.guided_load {
        let (cpu, ratio) = (load.greet_us, load.ratio);
        writeln!(text, "| greet-cli load, profile-guided | {cpu:.1} | {ratio:.2} |")?;
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
