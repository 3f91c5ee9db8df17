//! Fair shares in the default configuration: peers that open as many calls as they may take no capacity
//! from well-behaved clients, and a flood of control frames takes no time from them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use greet_testkit::GreedyPeer;
use greet_testkit::http2::{DEFAULT_WINDOW, INITIAL_WINDOW_SIZE, settings};

use crate::e2e::under_attack::{Attack, Served};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::sample;

/// The default of `--max-streams`.
const CALLS: u32 = 200;
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The attacks, the method that they call, and whether they are floods that the daemon ends.
const ATTACKS: [(Attack, &str, bool); 4] = [
    (
        Attack { name: "calls without a message", peers: 60, peer: calls_without_message },
        sample::PATH,
        false,
    ),
    (
        Attack { name: "watches without a message", peers: 60, peer: watches_without_message },
        WATCH,
        false,
    ),
    (
        Attack { name: "calls without a window", peers: 60, peer: calls_without_window },
        sample::PATH,
        false,
    ),
    (Attack { name: "control frames", peers: 40, peer: control_frames }, sample::PATH, true),
];

const CLOSED: &str = r#"greet_connections_closed_total{cause="control_frames"}"#;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let daemon = Daemon::start(programs, &flags)?;
    let mut figures = Vec::new();
    let mut served = 0;
    for (attack, method, is_flood) in ATTACKS {
        let method = method.trim_start_matches('/');
        let started = format!(r#"grpc_server_call_started_total{{grpc_method="{method}"}}"#);
        let expected = daemon.metric(&started)? + attack.peers as u64 * u64::from(CALLS);
        let has_effect = || {
            let is_ended = !is_flood || daemon.metric(CLOSED)? > 0;
            Ok(is_ended && daemon.metric(&started)? >= expected)
        };
        let Served { calls, connects, p99 } = attack.run(programs, &daemon, has_effect)?;
        served += calls + connects;
        figures.push(format!("{} p99 {:.1} ms", attack.name, p99.as_secs_f64() * 1_000.0));
    }
    let closed = daemon.metric(CLOSED)?;
    daemon.stop_cleanly()?;
    Ok(format!("{served} calls, none failed; {}; {closed} floods ended", figures.join(", ")))
}

fn calls_without_message(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    let mut peer = GreedyPeer::connect(target, DEFAULT_WINDOW)?;
    (0..CALLS).try_for_each(|call| peer.start_call(2 * call + 1, sample::PATH))?;
    peer.hold(is_over)
}

fn watches_without_message(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    let mut peer = GreedyPeer::connect(target, DEFAULT_WINDOW)?;
    (0..CALLS).try_for_each(|call| peer.start_call(2 * call + 1, WATCH))?;
    peer.hold(is_over)
}

/// The daemon cannot send the replies.
fn calls_without_window(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    let mut peer = GreedyPeer::connect(target, 0)?;
    for call in 0..CALLS {
        peer.call(2 * call + 1, sample::PATH, b"")?;
    }
    peer.hold(is_over)
}

/// Each change of the initial window size changes the window of every open call.
fn control_frames(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    let mut peer = GreedyPeer::connect(target, DEFAULT_WINDOW)?;
    (0..CALLS).try_for_each(|call| peer.start_call(2 * call + 1, sample::PATH))?;
    let changes =
        [DEFAULT_WINDOW - 1, DEFAULT_WINDOW].map(|window| settings(&[INITIAL_WINDOW_SIZE, window]));
    let changes = changes.concat().repeat(64);
    while !is_over.load(Ordering::Relaxed) {
        peer.send(&changes)?;
    }
    Ok(())
}
