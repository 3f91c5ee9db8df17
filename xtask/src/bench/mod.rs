//! `cargo xtask bench`: the cost of a call for greet-server and for other servers in the same run.
//! Ratios are the result, because absolute figures depend on the machine.

mod calls;
mod clients;
mod cpu;
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
use crate::harness::cores::require_a_core_each;
use crate::harness::programs::root;
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
const QUICK: Effort = Effort { rounds: 3, seconds_per_sample: 0.4 };
const THOROUGH: Effort = Effort { rounds: 7, seconds_per_sample: 1.0 };

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.instructions {
        return instructions::check(args.accept);
    }
    require_a_core_each()?;
    raise_descriptor_limit(4 * process::IDLE_CONNECTIONS as u64)?;
    let effort = if args.quick { QUICK } else { THOROUGH };
    let figures = measure(&Starter::new()?, effort)?;
    let text = document::markdown(&figures)?;
    print(format_args!("{text}"))?;
    if !args.quick {
        fs::write(root().join("docs/benchmarks.md"), text)?;
        fs::write(root().join("docs/benchmarks.svg"), plot::svg(&figures))?;
        progress(format_args!("written: docs/benchmarks.md, docs/benchmarks.svg"));
    }
    Ok(())
}

fn measure(starter: &Starter, effort: Effort) -> anyhow::Result<Figures> {
    let versions = starter.peers().map(|peer| Ok((peer, peers::version(peer)?)));
    let versions = versions.collect::<anyhow::Result<_>>()?;
    let servers = starter.start_all(starter.peers())?;
    let small = Generator::new(NAME_BYTES[0])?;
    let shapes = SHAPES.map(|shape| calls::measure(&servers, &small, shape, effort));
    let shapes = shapes.into_iter().collect::<anyhow::Result<_>>()?;
    drop(servers);

    let large = starter.start_for_large()?;
    let payloads = NAME_BYTES.map(|bytes| {
        let generator = Generator::new(bytes)?;
        Ok((bytes, calls::measure(&large, &generator, Shape::TEN_BY_TEN, effort)?))
    });
    let payloads = payloads.into_iter().collect::<anyhow::Result<_>>()?;
    drop(large);

    let pair = starter.start_all([Peer::Greet, Peer::GreetTls])?;
    let tls = calls::measure(&pair, &small, Shape::TEN_BY_TEN, effort)?;
    drop(pair);
    let observability = observability_cost::measure(starter, &small, effort)?;

    let pair = starter.start_all([Peer::Greet, Peer::Greet])?;
    let idle = (0..MANY_CONNECTIONS).map(|_| BlockingPeer::connect(&pair[1].1.target));
    let idle = idle.collect::<Result<Vec<_>, _>>()?;
    let many_connections = calls::measure(&pair, &small, Shape::TEN_BY_TEN, effort)?;
    drop((idle, pair));

    let server = starter.start(Peer::Greet)?;
    let load = |programs| clients::load_cost(programs, &server, &small, effort);
    let processes = starter.peers().map(|peer| process::measure(starter, peer, effort.rounds));
    Ok(Figures {
        effort,
        versions,
        missing: starter.missing.clone(),
        shapes,
        payloads,
        tls,
        observability,
        many_connections,
        processes: processes.collect::<anyhow::Result<_>>()?,
        one_shots: clients::one_shots(starter, &server, effort.rounds)?,
        load: load(&starter.programs)?,
        guided_load: starter.guided.as_ref().map(load).transpose()?,
    })
}
