//! Instructions of a call, counted by valgrind, as a gate without noise, for the plain and for the
//! profile-guided build. The slope between two numbers of calls leaves out start and stop.

use std::fs;
use std::net::TcpListener;

use anyhow::Context as _;

use super::h2load::{Generator, Shape};
use crate::harness::command::{print, program};
use crate::harness::cores::{SERVER_CORE, on_core};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{self, Linking, Programs, root};
use crate::harness::report::Missing;
use crate::harness::{guided, tools};

const CALLS: [u64; 2] = [5_000, 15_000];
/// A change that costs more must be accepted explicitly.
const MAX_GROWTH: f64 = 0.03;
/// A line for each build: its name, and the instructions of a call.
const BASELINE: &str = "xtask/instructions.txt";

/// Fails if a call takes more instructions than the baseline allows.
pub(super) fn check(accept: bool) -> anyhow::Result<()> {
    let text = fs::read_to_string(root().join(BASELINE))
        .with_context(|| format!("could not read {BASELINE}"))?;
    let mut baselines = Vec::new();
    let mut is_exceeded = false;
    for line in text.lines() {
        let (build, baseline) = line.split_once(' ').context(BASELINE)?;
        let mut baseline: f64 = baseline.parse().with_context(|| format!("{BASELINE}: {line}"))?;
        let programs =
            if build == "guided" { guided::build(Linking::Dynamic) } else { programs::build(true) };
        match programs {
            Ok(programs) => {
                let counted = instructions_per_call(&programs)?;
                let growth = counted / baseline - 1.0;
                let percent = growth * 100.0;
                print(format_args!(
                    "{build}: {counted:.0} instructions a call, {percent:+.1} % to the baseline of {baseline}"
                ))?;
                if accept {
                    baseline = counted.round();
                } else {
                    is_exceeded |= growth > MAX_GROWTH;
                }
            }
            Err(error) if error.is::<Missing>() => print(format_args!("SKIP {build}: {error}"))?,
            Err(error) => return Err(error),
        }
        baselines.push(format!("{build} {baseline}\n"));
    }
    if accept {
        fs::write(root().join(BASELINE), baselines.concat())?;
    }
    anyhow::ensure!(
        !is_exceeded,
        "a call takes more instructions; to accept that: cargo xtask bench --instructions --accept"
    );
    Ok(())
}

fn instructions_per_call(programs: &Programs) -> anyhow::Result<f64> {
    let [few, many] = CALLS.map(|calls| count(programs, calls));
    Ok((many? as f64 - few? as f64) / (CALLS[1] - CALLS[0]) as f64)
}

/// Counts the instructions of a run with `calls` calls.
fn count(programs: &Programs, calls: u64) -> anyhow::Result<u64> {
    let directory = tempfile::tempdir()?;
    let counts = directory.path().join("counts");
    let valgrind = tools::apt("valgrind", "--version", "valgrind")?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut command = program(valgrind.get_program());
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", counts.display()));
    command.arg(&programs.server).args(["--workers=1", "--log-level=off", "--listen", &address]);
    let server = Daemon::spawn(&mut on_core(SERVER_CORE, &command))?;
    Generator::new(3)?.call(&server, Shape::TEN_BY_TEN, calls)?;
    server.stop()?;
    let counts = fs::read_to_string(&counts).context("valgrind wrote no counts")?;
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).context("valgrind wrote no total")
}
