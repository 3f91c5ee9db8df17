//! The targets of the daemon in its default configuration, and whether this run meets them.

use super::figures::Figures;
use super::peers::Peer;

/// A measured ratio or figure, and its bound.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) what: String,
    pub(super) measured: f64,
    bound: f64,
    is_minimum: bool,
}

impl Target {
    fn at_most(what: impl Into<String>, bound: f64, measured: Option<f64>) -> Option<Target> {
        Some(Target { what: what.into(), measured: measured?, bound, is_minimum: false })
    }

    fn at_least(what: impl Into<String>, bound: f64, measured: Option<f64>) -> Option<Target> {
        Some(Target { what: what.into(), measured: measured?, bound, is_minimum: true })
    }

    pub(super) fn is_met(&self) -> bool {
        if self.is_minimum { self.measured >= self.bound } else { self.measured <= self.bound }
    }

    pub(super) fn bound(&self) -> String {
        format!("at {} {}", if self.is_minimum { "least" } else { "most" }, self.bound)
    }
}

/// Returns the targets that could be measured.
pub(super) fn targets(figures: &Figures) -> Vec<Target> {
    let shape = |name: &str| figures.shapes.iter().find(|table| table.shape.name() == name);
    let mut targets = Vec::new();
    for (name, bound) in [("10x10", 0.55), ("50x20", 0.55), ("100x1", 0.9), ("1x1", 0.9)] {
        let ratio = shape(name).and_then(|table| table.cpu_ratio(Peer::Greet, Peer::StockTonic));
        targets.push(Target::at_most(format!("CPU a call to stock tonic, {name}"), bound, ratio));
    }
    let ten = shape("10x10");
    let cpu = |other| ten.and_then(|table| table.cpu_ratio(Peer::Greet, other));
    targets.push(Target::at_most("CPU a call to nghttpd, 10x10", 1.7, cpu(Peer::Nghttpd)));
    let others = [(Peer::Go, 2.0), (Peer::Cpp, 3.0), (Peer::Node, 10.0), (Peer::Python, 30.0)];
    for (peer, bound) in others {
        // The capacity by CPU time, even if the generator could not use it.
        let rate = ten.and_then(|table| table.cpu_ratio(peer, Peer::Greet));
        let what = format!("calls a second on one core to {}, 10x10", peer.name());
        targets.push(Target::at_least(what, bound, rate));
    }
    let tls = figures.tls.cpu_ratio(Peer::GreetTls, Peer::Greet);
    targets.push(Target::at_most("CPU a call with TLS to plaintext, 10x10", 1.35, tls));
    let scraped = figures.observability.cpu_ratio(Peer::GreetScraped, Peer::Greet);
    let what = "CPU a call with metrics scraped once a second to without, 10x10";
    targets.push(Target::at_most(what, 1.03, scraped));
    let many = Some(figures.many_connections_ratio);
    targets.push(Target::at_most("CPU a call at 1000 connections to 10", 1.15, many));
    let process = |peer| figures.processes.iter().find(|process| process.peer == peer);
    if let (Some(greet), Some(stock)) = (process(Peer::Greet), process(Peer::StockTonic)) {
        let ratio = greet.kib_per_connection / stock.kib_per_connection;
        targets.push(Target::at_most("KiB an idle connection to stock tonic", 1.0, Some(ratio)));
        let first = Some(greet.first_reply_ms);
        targets.push(Target::at_most("first call answered after exec, ms", 10.0, first));
        let resident = Some(greet.kib_at_rest as f64 / 1024.0);
        targets.push(Target::at_most("resident at rest, MiB", 12.0, resident));
    }
    targets.into_iter().flatten().collect()
}
