//! Attacks a daemon from many connections while well-behaved clients call it. None of their calls may
//! fail.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use crate::harness::command::{capture, wait_for};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::sample;

/// The time in which the well-behaved clients call.
const CALLS_SECONDS: u64 = 3;
/// Calls in flight at a time. On a slow machine more would be due together, and the daemon reserves the
/// last part of its limit for connections with fewer than eight.
const CONCURRENCY: &str = "--concurrency=4";
/// The timeout of a call: enough for a debug build on a machine with other work.
const TIMEOUT: &str = "--timeout=30s";
/// Time for an attack to have its effect, on a machine with other work.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(60);
/// Time in which the daemon reads what the attackers have sent, and closes their connections.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);

/// An attack by many peers at the same time.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) peers: usize,
    /// Connects to `http://HOST:PORT` and attacks until the flag is set, or until the daemon closes the
    /// connection; then the peer does it again.
    pub(crate) peer: fn(&str, &AtomicBool) -> io::Result<()>,
}

/// The calls of the well-behaved clients, all of which succeeded.
#[derive(Debug)]
pub(crate) struct Served {
    /// Calls on one connection, at a fixed rate.
    pub(crate) calls: u64,
    pub(crate) p99: Duration,
    /// Calls on a connection of their own.
    pub(crate) connects: u64,
}

impl Attack {
    /// Runs the attack beside well-behaved clients, and until `has_effect`. Returns after the daemon has
    /// closed the connections of all peers.
    pub(crate) fn run(
        &self,
        programs: &Programs,
        daemon: &Daemon,
        mut has_effect: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<Served> {
        let target = &daemon.target;
        let is_over = AtomicBool::new(false);
        let served = thread::scope(|scope| {
            for _ in 0..self.peers {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let _ = (self.peer)(target, &is_over); // refused or closed: tries again
                    }
                });
            }
            let served = call(programs, target).and_then(|served| {
                wait_for("the attack has its effect", EFFECT_TIMEOUT, || {
                    Ok(has_effect()?.then_some(()))
                })?;
                Ok(served)
            });
            is_over.store(true, Ordering::Relaxed);
            served
        });
        let served = served.with_context(|| format!("beside {}", self.name))?;
        wait_for("the connections of the attackers are closed", CLOSE_TIMEOUT, || {
            Ok((daemon.metric("greet_connections_open")? == 0).then_some(()))
        })?;
        Ok(served)
    }
}

/// Calls on one connection at a fixed rate, and beside it on a new connection for each call: the service
/// and its health in turn.
fn call(programs: &Programs, target: &str) -> anyhow::Result<Served> {
    let duration = format!("--duration={CALLS_SECONDS}s");
    let load = [
        "--output=json",
        TIMEOUT,
        "load",
        "--rate=20",
        CONCURRENCY,
        "--connections=1",
        "--warm-up=0s",
        &duration,
    ];
    let mut load = programs.client(target, &load);
    thread::scope(|scope| {
        let load = scope.spawn(move || capture(&mut load)?.succeeded());
        let mut connects = 0;
        while !load.is_finished() {
            for (mut command, expected) in [
                (programs.call(target, "Ada"), sample::reply("Ada")),
                (programs.client(target, &["health"]), "SERVING\n".to_owned()),
            ] {
                let reply = capture(command.arg(TIMEOUT))?.succeeded()?;
                anyhow::ensure!(reply == expected, "the reply was {reply:?}");
                connects += 1;
            }
        }
        let figures = load.join().expect("the load does not panic")?;
        let figures: serde_json::Value = serde_json::from_str(&figures)?;
        let figure = |path| figures.pointer(path).and_then(serde_json::Value::as_u64);
        // On a slow machine some calls may not have started.
        anyhow::ensure!(figure("/calls/failed") == Some(0), "calls of the load failed: {figures}");
        Ok(Served {
            calls: figure("/calls/ok").context("load reports its calls")?,
            p99: figure("/latency_us/p99")
                .map(Duration::from_micros)
                .context("load reports p99")?,
            connects,
        })
    })
}
