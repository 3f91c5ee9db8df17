//! What the daemon is to reach, in its default configuration, and whether it did in this run.

use super::Figures;
use super::calls::Table;
use super::peers::Peer;

/// A ratio or a figure, and its bound.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) what: String,
    pub(super) measured: f64,
    bound: f64,
    is_least: bool,
}

impl Target {
    fn most(what: impl Into<String>, bound: f64, measured: Option<f64>) -> Option<Target> {
        Some(Target { what: what.into(), measured: measured?, bound, is_least: false })
    }

    fn least(what: impl Into<String>, bound: f64, measured: Option<f64>) -> Option<Target> {
        Some(Target { what: what.into(), measured: measured?, bound, is_least: true })
    }

    pub(super) fn holds(&self) -> bool {
        if self.is_least { self.measured >= self.bound } else { self.measured <= self.bound }
    }

    pub(super) fn bound(&self) -> String {
        format!("at {} {}", if self.is_least { "least" } else { "most" }, self.bound)
    }
}

/// Those that could be measured.
pub(super) fn targets(figures: &Figures) -> Vec<Target> {
    let shape = |name: &str| figures.shapes.iter().find(|table| table.shape.name() == name);
    let mut targets = Vec::new();
    for (name, bound) in [("10x10", 0.55), ("50x20", 0.55), ("100x1", 0.9), ("1x1", 0.9)] {
        let ratio = shape(name).and_then(|it| it.cpu_ratio(Peer::Greet, Peer::StockTonic));
        targets.push(Target::most(format!("CPU a call to stock tonic, {name}"), bound, ratio));
    }
    let ten = shape("10x10");
    let cpu = |other| ten.and_then(|table| table.cpu_ratio(Peer::Greet, other));
    targets.push(Target::most("CPU a call to nghttpd, 10x10", 1.7, cpu(Peer::Nghttpd)));
    let others = [(Peer::Go, 2.0), (Peer::Cpp, 3.0), (Peer::Node, 10.0), (Peer::Python, 30.0)];
    for (peer, bound) in others {
        let rate = ten.and_then(|table| one_core(table, peer));
        let what = format!("calls a second on one core to {}, 10x10", peer.name());
        targets.push(Target::least(what, bound, rate));
    }
    let tls = figures.tls.cpu_ratio(Peer::GreetTls, Peer::Greet);
    targets.push(Target::most("CPU a call with TLS to plaintext, 10x10", 1.35, tls));
    let scraped = figures.observed.cpu_ratio(Peer::GreetScraped, Peer::Greet);
    let what = "CPU a call with metrics scraped each second to without, 10x10";
    targets.push(Target::most(what, 1.03, scraped));
    let many = Some(figures.many_connections_ratio);
    targets.push(Target::most("CPU a call at 1000 connections to 10", 1.15, many));
    let process = |peer| figures.processes.iter().find(|process| process.peer == peer);
    if let (Some(greet), Some(stock)) = (process(Peer::Greet), process(Peer::StockTonic)) {
        let ratio = greet.kib_per_connection / stock.kib_per_connection;
        targets.push(Target::most("KiB an idle connection to stock tonic", 1.0, Some(ratio)));
        let first = Some(greet.first_reply_ms);
        targets.push(Target::most("first call answered after exec, ms", 10.0, first));
        let resident = Some(greet.kib_at_rest as f64 / 1024.0);
        targets.push(Target::most("resident at rest, MiB", 12.0, resident));
    }
    targets.into_iter().flatten().collect()
}

/// Calls a second that a core is good for: what the CPU time of a call leaves room for, whether or not
/// the generator could fill it.
fn one_core(table: &Table, other: Peer) -> Option<f64> {
    table.cpu_ratio(other, Peer::Greet)
}
