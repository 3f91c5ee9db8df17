//! Out of descriptors: the daemon does not spin, serves the connections that it has, and accepts
//! new ones as soon as descriptors are free.

use std::time::{Duration, Instant};

use greet_testkit::{BlockingPeer, repeat_for};

use crate::harness::command::{capture, program};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::report::require_linux;
use crate::harness::resources::cpu_time;
use crate::harness::sample;

const SILENT_PEERS: usize = 200;
const CALL_INTERVAL: Duration = Duration::from_millis(100);
const EXHAUSTED_FOR: Duration = Duration::from_secs(3);
/// The share of one core.
const MAX_CPU: f64 = 0.05;
/// The longest pause between two attempts to accept, and the time of a client.
const ACCEPT_TIMEOUT: Duration = Duration::from_millis(1_200);

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    require_linux()?;
    // More connections than descriptors: the default limit prevents that.
    let server = programs.server.display();
    let flags = "--listen 127.0.0.1:0 --max-connections 1000 --log-format json";
    let mut shell = program("sh");
    shell.args(["-c", &format!("ulimit -n 64; exec '{server}' {flags}")]);
    let daemon = Daemon::spawn(&mut shell)?;
    let target = daemon.target.clone();

    let mut early = BlockingPeer::connect(&target)?;
    let peers =
        (0..SILENT_PEERS).map(|_| BlockingPeer::silent(&target)).collect::<Result<Vec<_>, _>>()?;
    let before = cpu_time(&daemon)?;
    let mut calls = 0;
    let failed = repeat_for(EXHAUSTED_FOR, CALL_INTERVAL, || {
        calls += 1;
        early.call(2 * calls - 1, sample::PATH, Some(b"")).err()
    });
    failed.map_or(Ok(()), Err)?;
    let share = (cpu_time(&daemon)? - before).as_secs_f64() / EXHAUSTED_FOR.as_secs_f64();
    anyhow::ensure!(share < MAX_CPU, "the daemon took {:.0} % of a core", share * 100.0);

    drop(peers);
    let freed = Instant::now();
    capture(programs.call(&target, "Late").args(["--wait", "5s"]))?.succeeded()?;
    let took = freed.elapsed();
    anyhow::ensure!(took < ACCEPT_TIMEOUT, "accepted after {took:?}");

    drop(early);
    let ended = daemon.stop()?;
    let warnings = ended.log.matches("accept failed").count();
    let max = EXHAUSTED_FOR.as_secs() as usize + 2;
    anyhow::ensure!((1..=max).contains(&warnings), "{warnings} warnings: {}", ended.log);
    let (percent, took) = (share * 100.0, took.as_millis());
    Ok(format!("{percent:.1} % of a core, {calls} calls meanwhile, accepted after {took} ms"))
}
