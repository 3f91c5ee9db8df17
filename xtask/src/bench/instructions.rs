//! Instructions of a call, counted by valgrind, as a gate without noise. The slope between two
//! numbers of calls leaves out start and stop.

use std::fs;
use std::net::TcpListener;

use anyhow::Context as _;

use super::h2load::{Generator, Shape};
use super::peers::{SERVER_CORE, on_core};
use crate::harness::command::{print, program};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, root};
use crate::harness::tools;

const CALLS: [u64; 2] = [5_000, 15_000];
/// A change that costs more must be accepted explicitly.
const MAX_GROWTH: f64 = 0.03;
const BASELINE: &str = "xtask/instructions.txt";

/// Fails if a call takes more instructions than the baseline allows.
pub(super) fn check(programs: &Programs, accept: bool) -> anyhow::Result<()> {
    let counts = CALLS.map(|calls| count(programs, calls));
    let [few, many] = counts.map(|count| count.map(|count| count as f64));
    let counted = (many? - few?) / (CALLS[1] - CALLS[0]) as f64;
    if accept {
        fs::write(root().join(BASELINE), format!("{counted:.0}\n"))?;
        return print(format_args!("{counted:.0} instructions a call: the new baseline"));
    }
    let baseline = fs::read_to_string(root().join(BASELINE))
        .with_context(|| format!("could not read {BASELINE}"))?;
    let baseline: f64 = baseline.trim().parse().with_context(|| format!("{BASELINE}: a number"))?;
    let growth = counted / baseline - 1.0;
    print(format_args!(
        "{counted:.0} instructions a call, {:+.1} % to the baseline of {baseline:.0}",
        growth * 100.0
    ))?;
    anyhow::ensure!(
        growth <= MAX_GROWTH,
        "a call takes more instructions; to accept that: cargo xtask bench --instructions --accept"
    );
    Ok(())
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
