//! Out of descriptors: the daemon neither spins nor gives up. Who is connected is served, and who
//! comes is let in as soon as there is room.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::harness::command::{program, run as run_command};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::report::Missing;
use greet_testkit::{Peer, repeat_for};

const CROWD: usize = 200;
const CALL_INTERVAL: Duration = Duration::from_millis(100);
const STARVED_FOR: Duration = Duration::from_secs(3);
/// Of the time of one core.
const MOST_CPU: f64 = 0.05;
/// The longest pause between two attempts to accept, and what a client takes.
const LET_IN_WITHIN: Duration = Duration::from_millis(1_200);

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    if !cfg!(target_os = "linux") {
        return Err(Missing { what: "/proc", install: "Linux".to_owned() }.into());
    }
    // More connections allowed than there can be: what the default takes care not to do.
    let server = programs.server.display();
    let flags = "--listen 127.0.0.1:0 --max-connections 1000 --log-format json";
    let mut shell = program("sh");
    shell.args(["-c", &format!("ulimit -n 64; exec '{server}' {flags}")]);
    let daemon = Daemon::spawn(&mut shell)?;
    let target = daemon.target.clone();

    let mut early = Peer::connect(&target)?;
    let crowd = (0..CROWD).map(|_| Peer::silent(&target)).collect::<Result<Vec<_>, _>>()?;
    let before = cpu_time(daemon.id())?;
    let mut calls = 0;
    let failed = repeat_for(STARVED_FOR, CALL_INTERVAL, || {
        calls += 1;
        early.call(2 * calls - 1, "/greet.Greeter/SayHello", Some(b"")).err()
    });
    failed.map_or(Ok(()), Err)?;
    let share = (cpu_time(daemon.id())? - before).as_secs_f64() / STARVED_FOR.as_secs_f64();
    anyhow::ensure!(share < MOST_CPU, "it took {:.0} % of a core", share * 100.0);

    drop(crowd);
    let freed = Instant::now();
    let hello = ["--wait", "5s", "hello", "--name", "Late"];
    run_command(&mut programs.greet(&target, &hello))?.succeeded()?;
    let took = Instant::now() - freed;
    anyhow::ensure!(took < LET_IN_WITHIN, "it took {took:?} to be let in");

    drop(early);
    let ended = daemon.stop()?;
    let complaints = ended.log.matches("accept failed").count();
    let most = STARVED_FOR.as_secs() as usize + 2;
    anyhow::ensure!((1..=most).contains(&complaints), "{complaints} complaints: {}", ended.log);
    let (percent, took) = (share * 100.0, took.as_millis());
    Ok(format!("{percent:.1} % of a core, {calls} calls meanwhile, let in after {took} ms"))
}

/// What a process has used of all cores, user and system time together.
fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    const TICKS_PER_SECOND: u64 = 100; // USER_HZ, the same on every Linux that Rust runs on
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').context("the name is in parentheses")?.1.split(' ');
    let ticks: u64 = fields.skip(12).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}
