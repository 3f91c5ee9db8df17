//! The targets of both builds in the default configuration, and whether this run meets them.

use super::calls::Table;
use super::clients::{HELLO, HELLO_GUIDED, LoadCost, NOTHING};
use super::figures::Figures;
use super::peers::Peer;

/// A ratio or a figure of the plain and of the profile-guided build.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) what: String,
    pub(super) plain: Option<Verdict>,
    pub(super) guided: Option<Verdict>,
}

/// What was measured, and its bound.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) measured: f64,
    pub(super) bound: Bound,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}
use Bound::{AtLeast, AtMost};

/// CPU time of a call to that of stock tonic and of nghttpd: of the plain build, then profile-guided.
const OF_SHAPES: [(&str, [f64; 2], [f64; 2]); 5] = [
    ("10x10", [0.43, 1.3], [0.35, 1.0]),
    ("50x20", [0.48, 1.35], [0.40, 1.05]),
    ("1x100", [0.35, 1.2], [0.25, 0.85]),
    ("100x1", [0.88, 1.1], [0.75, 0.9]),
    ("1x1", [0.90, 1.1], [0.75, 1.0]),
];
/// Their capacity by CPU time, even if the generator could not use it, is this many times smaller.
const OF_OTHERS: [(Peer, f64); 4] =
    [(Peer::Go, 2.0), (Peer::Cpp, 3.0), (Peer::Node, 10.0), (Peer::Python, 30.0)];
/// CPU time of a call with a name of 65 000 bytes.
const OF_LARGE_NAMES: [(Peer, f64); 2] = [(Peer::StockTonic, 0.85), (Peer::Cpp, 1.0)];

impl Verdict {
    pub(super) fn is_met(&self) -> bool {
        match self.bound {
            AtMost(bound) => self.measured <= bound,
            AtLeast(bound) => self.measured >= bound,
        }
    }
}

/// Returns the targets that could be measured.
pub(super) fn targets(figures: &Figures) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut add = |what: String, plain: (Bound, Option<f64>), guided: (Bound, Option<f64>)| {
        let [plain, guided] =
            [plain, guided].map(|(bound, measured)| Some(Verdict { measured: measured?, bound }));
        if plain.is_some() {
            targets.push(Target { what, plain, guided });
        }
    };
    let shape = |name: &str| figures.shapes.iter().find(|table| table.shape.name() == name);
    for (name, plain, guided) in OF_SHAPES {
        for (index, other) in [Peer::StockTonic, Peer::Nghttpd].into_iter().enumerate() {
            let ratio = |peer| shape(name).and_then(|table| table.cpu_ratio(peer, other));
            let what = format!("CPU a call to {}, {name}", other.name());
            let [plain, guided] = [(plain, Peer::Greet), (guided, Peer::GreetGuided)]
                .map(|(bounds, peer)| (AtMost(bounds[index]), ratio(peer)));
            add(what, plain, guided);
        }
    }
    for (other, bound) in OF_OTHERS {
        let what = format!("calls a second on one core to {}, 10x10", other.name());
        let [plain, guided] = [Peer::Greet, Peer::GreetGuided].map(|peer| {
            (AtLeast(bound), shape("10x10").and_then(|table| table.cpu_ratio(other, peer)))
        });
        add(what, plain, guided);
    }
    let (bytes, large) = figures.payloads.last().expect("there are several lengths of names");
    for (other, bound) in OF_LARGE_NAMES {
        let what = format!("CPU a call to {}, {bytes} B", other.name());
        let [plain, guided] = [Peer::Greet, Peer::GreetGuided]
            .map(|peer| (AtMost(bound), large.cpu_ratio(peer, other)));
        add(what, plain, guided);
    }
    let one_shot = |name| {
        let ms = |name| Some(figures.one_shots.iter().find(|client| client.name == name)?.ms);
        Some(ms(name)? - ms(NOTHING)?)
    };
    let [plain, guided] = [HELLO, HELLO_GUIDED].map(|name| (AtMost(1.5), one_shot(name)));
    add("one greet-cli hello above `true`, ms".to_owned(), plain, guided);
    let [plain, guided] = [Some(&figures.load), figures.guided_load.as_ref()]
        .map(|load: Option<&LoadCost>| (AtMost(1.5), load.map(|load| load.ratio)));
    add("CPU a call of greet-cli load to h2load, 10x10".to_owned(), plain, guided);

    let mut add_plain =
        |what: &str, bound, measured| add(what.to_owned(), (bound, measured), (bound, None));
    let what = "CPU a call with TLS to plaintext, 10x10";
    add_plain(what, AtMost(1.35), figures.tls.cpu_ratio(Peer::GreetTls, Peer::Greet));
    let what = "CPU a call with metrics scraped once a second to without, 10x10";
    let scraped = figures.observability.cpu_ratio(Peer::GreetScraped, Peer::Greet);
    add_plain(what, AtMost(1.03), scraped);
    let many = Some(many_connections_ratio(&figures.many_connections));
    add_plain("CPU a call at 1000 connections to 10", AtMost(1.15), many);
    let process = |peer| figures.processes.iter().find(|process| process.peer == peer);
    let (greet, stock) = (process(Peer::Greet), process(Peer::StockTonic));
    let fresh = greet.zip(stock).map(|(a, b)| a.kib_per_connection / b.kib_per_connection);
    add_plain("memory of a fresh connection to stock tonic", AtMost(0.9), fresh);
    let burst = greet.zip(stock).map(|(a, b)| a.kib_after_burst / b.kib_after_burst);
    add_plain("memory of a connection after a burst to stock tonic", AtMost(0.5), burst);
    let first = greet.map(|greet| greet.first_reply_ms);
    add_plain("first call answered after exec, ms", AtMost(10.0), first);
    let resident = greet.map(|greet| greet.kib_at_rest / 1024.0);
    add_plain("resident at rest, MiB", AtMost(12.0), resident);
    targets
}

pub(super) fn many_connections_ratio(table: &Table) -> f64 {
    table.rows[1].ratio(&table.rows[0], |sample| sample.cpu_us_per_call)
}
