//! `cargo xtask bench`: the cost of a call for greet-server and for other servers in the same run.
//! Ratios are the result, because absolute figures depend on the machine.

mod calls;
mod document;
mod figures;
mod h2load;
mod instructions;
mod observability_cost;
mod peers;
mod plot;
mod process;
mod targets;

use std::fs;

use greet_testkit::BlockingPeer;

use crate::harness::command::{print, progress};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{self, root};
use crate::harness::report::Missing;
use crate::harness::resources::raise_descriptor_limit;

use calls::Effort;
use figures::{Figures, MANY_CONNECTIONS};
use h2load::{Generator, Shape};
use peers::{Peer, Starter};

/// What to measure, and for how long
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Measure for a few minutes: fewer and shorter rounds; no document is written
    #[arg(long)]
    quick: bool,
    /// Count the instructions of a call (valgrind); fail if they exceed the baseline by 3 %
    #[arg(long)]
    instructions: bool,
    /// With --instructions: make the count the new baseline
    #[arg(long, requires = "instructions")]
    accept: bool,
}

const SHAPES: [Shape; 5] = [
    Shape::new(1, 1),
    Shape::new(100, 1),
    Shape::new(1, 100),
    Shape::TEN_BY_TEN,
    Shape::new(50, 20),
];
const NAME_BYTES: [usize; 3] = [3, 1_024, 65_000];
/// Calls a second that fill about the time of a sample with a thousand connections.
const CALLS_PER_S_OF_MANY: f64 = 150_000.0;

const QUICK: Effort = Effort { rounds: 3, seconds_per_sample: 0.4 };
const THOROUGH: Effort = Effort { rounds: 7, seconds_per_sample: 1.0 };

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.instructions {
        return instructions::check(args.accept);
    }
    let programs = programs::build(true)?;
    anyhow::ensure!(
        std::thread::available_parallelism()?.get() > 1,
        "server and generator need a core each, but there is one"
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
                progress(format_args!("SKIP {}: {error}", peer.name()));
                missing.push(format!("{}: {error}", peer.name()));
            }
            Err(error) => return Err(error),
        }
    }
    let figures = measure(&starter, &peers, effort, missing, &programs)?;
    let text = document::markdown(&figures)?;
    print(format_args!("{text}"))?;
    if !args.quick {
        fs::write(root().join("docs/benchmarks.md"), text)?;
        fs::write(root().join("docs/benchmarks.svg"), plot::svg(&figures))?;
        progress(format_args!("written: docs/benchmarks.md, docs/benchmarks.svg"));
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
    drop(servers);

    let start = |peer: &Peer| Ok((*peer, starter.start_for_large(*peer)?));
    let large = peers.iter().map(start).collect::<anyhow::Result<Vec<_>>>()?;
    // nghttpd serves the same file for every name.
    let large: Vec<_> = large.into_iter().filter(|(peer, _)| *peer != Peer::Nghttpd).collect();
    let payloads = NAME_BYTES.map(|bytes| {
        let generator = Generator::new(bytes)?;
        Ok((bytes, calls::measure(&large, &generator, Shape::TEN_BY_TEN, effort)?))
    });
    let payloads = payloads.into_iter().collect::<anyhow::Result<_>>()?;
    drop(large);

    let pair = [Peer::Greet, Peer::GreetTls].map(|peer| Ok((peer, starter.start(peer)?)));
    let pair = pair.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let tls = calls::measure(&pair, &small, Shape::TEN_BY_TEN, effort)?;
    drop(pair);
    let observability = observability_cost::measure(starter, &small, effort)?;

    let processes = peers.iter().map(|peer| process::measure(starter, *peer, effort.rounds));
    Ok(Figures {
        effort,
        versions,
        missing,
        shapes,
        payloads,
        tls,
        observability,
        many_connections_ratio: many_connections(starter, &small, effort)?,
        processes: processes.collect::<anyhow::Result<_>>()?,
        one_shots,
    })
}

/// Compares ten connections with a thousand, at the same number of concurrent calls.
fn many_connections(
    starter: &Starter,
    generator: &Generator,
    effort: Effort,
) -> anyhow::Result<f64> {
    let (few, many) = (starter.start(Peer::Greet)?, starter.start(Peer::Greet)?);
    let idle = (0..MANY_CONNECTIONS).map(|_| BlockingPeer::connect(&many.target));
    let idle = idle.collect::<Result<Vec<_>, _>>()?;
    let cpu = |server: &Daemon| {
        let calls = (CALLS_PER_S_OF_MANY * effort.seconds_per_sample) as u64;
        anyhow::Ok(generator.call(server, Shape::TEN_BY_TEN, calls)?.cpu_us_per_call)
    };
    let ratios = (0..effort.rounds).map(|_| Ok(1.0 / (cpu(&few)? / cpu(&many)?)));
    let ratios = ratios.collect::<anyhow::Result<Vec<_>>>()?;
    drop(idle);
    Ok(calls::median(ratios.into_iter()))
}
