//! `cargo xtask bench`: what a call costs the daemon and what it costs the servers that people run
//! instead, side by side in one run. Ratios are the result; absolute figures move with the machine.

mod calls;
mod document;
mod h2load;
mod instructions;
mod machine;
mod observability_cost;
mod peers;
mod plot;
mod process;
mod targets;

use std::fs;

use crate::harness::command::{result, step};
use crate::harness::daemon::Daemon;

use crate::harness::programs::{self, root};
use crate::harness::report::Missing;
use crate::harness::resources::raise_descriptor_limit;

use calls::{Effort, Table};
use h2load::{Generator, Shape};
use peers::{Peer, Starter};
use process::{OneShot, Process};

/// How thorough to be, and which part
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A look of a few minutes: fewer and shorter rounds, and no document is written
    #[arg(long)]
    quick: bool,
    /// Count the instructions of a call (valgrind) and fail if they are 3 % more than the baseline
    #[arg(long)]
    instructions: bool,
    /// With --instructions: make what is counted the new baseline
    #[arg(long, requires = "instructions")]
    accept: bool,
}

const SHAPES: [Shape; 5] = [
    Shape::new(1, 1),
    Shape::new(100, 1),
    Shape::new(1, 100),
    Shape::new(10, 10),
    Shape::new(50, 20),
];
const TEN_BY_TEN: Shape = Shape::new(10, 10);
const NAME_BYTES: [usize; 3] = [3, 1_024, 65_000];
/// Beside ten connections that are called.
const MANY_CONNECTIONS: usize = 990;

/// What fills about the time of a sample at ten by ten.
const CALLS_PER_S_OF_MANY: f64 = 150_000.0;

const QUICK: Effort = Effort { rounds: 3, seconds_per_sample: 0.4 };
const THOROUGH: Effort = Effort { rounds: 7, seconds_per_sample: 1.0 };

/// All that was measured.
struct Figures {
    effort: Effort,
    versions: Vec<(Peer, String)>,
    missing: Vec<String>,
    shapes: Vec<Table>,
    payloads: Vec<(usize, Table)>,
    tls: Table,
    /// The daemon as it is looked at.
    observed: Table,
    /// What a call costs with a thousand connections, against ten.
    many_connections_ratio: f64,
    processes: Vec<Process>,
    one_shots: Vec<OneShot>,
    nothing_ms: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let programs = programs::build(true)?;
    if args.instructions {
        return instructions::check(&programs, args.accept);
    }
    anyhow::ensure!(
        std::thread::available_parallelism()?.get() > 1,
        "a server and its caller need a core each, and there is one"
    );
    raise_descriptor_limit(4 * process::IDLE_CONNECTIONS as u64)?;
    let effort = if args.quick { QUICK } else { THOROUGH };
    let starter = Starter::new(&programs)?;
    let mut missing = Vec::new();
    let mut peers = Vec::new();
    for peer in Peer::ALL {
        match starter.command(peer) {
            Ok(_) => peers.push(peer),
            Err(error) if error.is::<Missing>() => {
                step(format_args!("SKIP {}: {error}", peer.name()));
                missing.push(format!("{}: {error}", peer.name()));
            }
            Err(error) => return Err(error),
        }
    }
    let figures = measure(&starter, &peers, effort, missing, &programs)?;
    let text = document::markdown(&figures)?;
    result(format_args!("{text}"))?;
    if !args.quick {
        fs::write(root().join("docs/benchmarks.md"), text)?;
        fs::write(root().join("docs/benchmarks.svg"), plot::svg(&figures))?;
        step(format_args!("written: docs/benchmarks.md, docs/benchmarks.svg"));
    }
    Ok(())
}

fn measure(
    starter: &Starter,
    peers: &[Peer],
    effort: Effort,
    missing: Vec<String>,
    programs: &programs::Programs,
) -> anyhow::Result<Figures> {
    let versions = peers.iter().map(|peer| Ok((*peer, peers::version(*peer)?)));
    let versions = versions.collect::<anyhow::Result<_>>()?;
    let start = |peer: &Peer| Ok((*peer, starter.start(*peer)?));
    let servers = peers.iter().map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let small = Generator::new(NAME_BYTES[0])?;
    let shapes = SHAPES.map(|shape| calls::measure(&servers, &small, shape, effort));
    let shapes = shapes.into_iter().collect::<anyhow::Result<_>>()?;
    let one_shots = process::one_shots(programs, &servers[0].1, 3 * effort.rounds)?;
    let nothing_ms = process::nothing_ms(3 * effort.rounds)?;
    drop(servers);

    let start = |peer: &Peer| Ok((*peer, starter.start_for_large(*peer)?));
    let large = peers.iter().map(start).collect::<anyhow::Result<Vec<_>>>()?;
    // nghttpd serves a file, and knows nothing of names.
    let large: Vec<_> = large.into_iter().filter(|(peer, _)| *peer != Peer::Nghttpd).collect();
    let payloads = NAME_BYTES.map(|bytes| {
        let generator = Generator::new(bytes)?;
        Ok((bytes, calls::measure(&large, &generator, TEN_BY_TEN, effort)?))
    });
    let payloads = payloads.into_iter().collect::<anyhow::Result<_>>()?;
    drop(large);

    let pair = [Peer::Greet, Peer::GreetTls].map(|peer| Ok((peer, starter.start(peer)?)));
    let pair = pair.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let tls = calls::measure(&pair, &small, TEN_BY_TEN, effort)?;
    drop(pair);
    let observed = observability_cost::measure(starter, &small, effort)?;

    let processes = peers.iter().map(|peer| process::measure(starter, *peer, effort.rounds));
    Ok(Figures {
        effort,
        versions,
        missing,
        shapes,
        payloads,
        tls,
        observed,
        many_connections_ratio: many_connections(starter, &small, effort)?,
        processes: processes.collect::<anyhow::Result<_>>()?,
        one_shots,
        nothing_ms,
    })
}

/// The same calls at a time, with ten connections and with a thousand.
fn many_connections(
    starter: &Starter,
    generator: &Generator,
    effort: Effort,
) -> anyhow::Result<f64> {
    let (few, many) = (starter.start(Peer::Greet)?, starter.start(Peer::Greet)?);
    let idle = (0..MANY_CONNECTIONS).map(|_| greet_testkit::Peer::connect(&many.target));
    let idle = idle.collect::<Result<Vec<_>, _>>()?;
    let cpu = |server: &Daemon| {
        let calls = (CALLS_PER_S_OF_MANY * effort.seconds_per_sample) as u64;
        anyhow::Ok(generator.call(server, TEN_BY_TEN, calls)?.cpu_us_per_call)
    };
    let ratios = (0..effort.rounds).map(|_| Ok(1.0 / (cpu(&few)? / cpu(&many)?)));
    let ratios = ratios.collect::<anyhow::Result<Vec<_>>>()?;
    drop(idle);
    Ok(calls::median(ratios.into_iter()))
}
