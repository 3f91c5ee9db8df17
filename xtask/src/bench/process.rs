//! The cost of a server besides its calls: memory of an idle connection, memory at rest, time to
//! the first reply; and the time of a single call from the command line.

use std::process::Command;
use std::time::{Duration, Instant};

use greet_testkit::BlockingPeer;

use super::calls::median;
use super::peers::{CLIENT_CORE, Peer, Starter, on_core};
use crate::harness::command::{capture, program};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::resources::Resources;
use crate::harness::tools;

pub(super) const IDLE_CONNECTIONS: usize = 2_000;
const MESSAGE: &[u8] = b"\x0a\x03Ada";
const SAY_HELLO: &str = "/greet.Greeter/SayHello";

/// The figures of a server.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) peer: Peer,
    pub(super) kib_at_rest: u64,
    pub(super) kib_per_connection: f64,
    /// The time from exec to the first reply.
    pub(super) first_reply_ms: f64,
}

/// The figures of a client.
#[derive(Debug)]
pub(super) struct OneShot {
    pub(super) name: &'static str,
    pub(super) ms: f64,
}

pub(super) fn measure(starter: &Starter, peer: Peer, rounds: usize) -> anyhow::Result<Process> {
    let starts = (0..rounds).map(|_| first_reply(starter, peer));
    let starts = starts.collect::<anyhow::Result<Vec<_>>>()?;
    let server = starter.start(peer)?;
    drop(BlockingPeer::calling(&server.target, SAY_HELLO, Some(MESSAGE))?);
    let before = Resources::of(&server)?.kib;
    let connections = (0..IDLE_CONNECTIONS).map(|_| BlockingPeer::connect(&server.target));
    let connections = connections.collect::<Result<Vec<_>, _>>()?;
    let after = Resources::of(&server)?.kib;
    drop(connections);
    Ok(Process {
        peer,
        kib_at_rest: before,
        kib_per_connection: after.saturating_sub(before) as f64 / IDLE_CONNECTIONS as f64,
        first_reply_ms: median(starts.iter().map(|start| start.as_secs_f64() * 1e3)),
    })
}

fn first_reply(starter: &Starter, peer: Peer) -> anyhow::Result<Duration> {
    // Builds the server, if necessary, before the clock starts.
    starter.command(peer)?;
    let started = Instant::now();
    let server = starter.start(peer)?;
    drop(BlockingPeer::calling(&server.target, SAY_HELLO, Some(MESSAGE))?);
    Ok(started.elapsed())
}

/// Measures a call from exec to exit for each client that is installed.
pub(super) fn one_shots(
    programs: &Programs,
    server: &Daemon,
    rounds: usize,
) -> anyhow::Result<Vec<OneShot>> {
    let address = server.address();
    let mut clients: Vec<(&str, Command)> = Vec::new();
    clients.push(("greet-cli", programs.greet(&server.target, &["hello", "--name=Ada"])));
    if let Ok(mut node) = tools::node("clients/node/client.js") {
        node.args([address, "Ada"]);
        clients.push(("Node, @grpc/grpc-js", node));
    }
    if let Ok(mut python) = tools::python("clients/python/client.py") {
        python.args([address, "Ada"]);
        clients.push(("Python, grpcio", python));
    }
    if let Ok(mut buf) = tools::buf() {
        let url = format!("{}{SAY_HELLO}", server.target);
        buf.args([
            "curl",
            "--protocol=grpc",
            "--http2-prior-knowledge",
            "--reflect-protocol=grpc-v1",
        ]);
        buf.args(["--data", r#"{"name":"Ada"}"#, &url]);
        buf.env("BUF_CACHE_DIR", std::env::temp_dir());
        clients.push(("buf curl", buf));
    }
    // A program that does nothing: the share of the pinning and the process in all times.
    clients.push(("nothing (`true`)", program("true")));
    let mut results = Vec::new();
    for (name, client) in clients {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let started = Instant::now();
            let output = capture(&mut on_core(CLIENT_CORE, &client))?.succeeded()?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
            let is_valid = output.contains("Hello Ada") || client.get_program() == "true";
            anyhow::ensure!(is_valid, "{name} printed {output:?}");
        }
        results.push(OneShot { name, ms: median(times.into_iter()) });
    }
    Ok(results)
}
