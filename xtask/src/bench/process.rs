//! What a server costs beside its calls: memory for a connection that is idle, time until it answers
//! the first call, memory at rest; and what a single call from the command line takes.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::calls::median;
use super::peers::{CLIENT_CORE, Peer, Starter, on_core};
use crate::harness::command::{program, run};
use crate::harness::daemon::Daemon;
use crate::harness::tools;

use crate::harness::programs::Programs;
use crate::harness::resources::Resources;

pub(super) const IDLE_CONNECTIONS: usize = 2_000;
const MESSAGE: &[u8] = b"\x0a\x03Ada";
const SAY_HELLO: &str = "/greet.Greeter/SayHello";

/// A server's figures.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) peer: Peer,
    pub(super) kib_at_rest: u64,
    pub(super) kib_per_connection: f64,
    /// From exec to the reply of the first call.
    pub(super) first_reply_ms: f64,
}

/// A client's.
#[derive(Debug)]
pub(super) struct OneShot {
    pub(super) name: &'static str,
    pub(super) ms: f64,
}

pub(super) fn measure(starter: &Starter, peer: Peer, rounds: usize) -> anyhow::Result<Process> {
    let starts = (0..rounds).map(|_| first_reply(starter, peer));
    let starts = starts.collect::<anyhow::Result<Vec<_>>>()?;
    let server = starter.start(peer)?;
    drop(greet_testkit::Peer::calling(&server.target, SAY_HELLO, Some(MESSAGE))?);
    let before = Resources::of(&server)?.kib;
    let connections = (0..IDLE_CONNECTIONS).map(|_| greet_testkit::Peer::connect(&server.target));
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
    // Its build, if it has one, is done before the clock runs.
    starter.command(peer)?;
    let begun = Instant::now();
    let server = starter.start(peer)?;
    drop(greet_testkit::Peer::calling(&server.target, SAY_HELLO, Some(MESSAGE))?);
    Ok(begun.elapsed())
}

/// A call from the command line, from exec to exit, by each client that there is.
pub(super) fn one_shots(
    programs: &Programs,
    server: &Daemon,
    rounds: usize,
) -> anyhow::Result<Vec<OneShot>> {
    let address = server.target.trim_start_matches("http://");
    let mut clients: Vec<(&str, Command)> = Vec::new();
    clients.push(("greet-cli", programs.greet(&server.target, &["hello", "--name=Ada"])));
    if let Ok(mut node) = tools::node("client.js") {
        node.args([address, "Ada"]);
        clients.push(("Node, @grpc/grpc-js", node));
    }
    if let Ok(mut python) = tools::python("client.py") {
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
    let mut results = Vec::new();
    for (name, client) in clients {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let begun = Instant::now();
            let said = run(&mut on_core(CLIENT_CORE, &client))?.succeeded()?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            anyhow::ensure!(said.contains("Hello Ada"), "{name} said {said:?}");
        }
        results.push(OneShot { name, ms: median(times.into_iter()) });
    }
    Ok(results)
}

/// What a pinned program that does nothing takes: the part of each time above that is nobody's.
pub(super) fn nothing_ms(rounds: usize) -> anyhow::Result<f64> {
    let nothing = program("true");
    let mut times = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        run(&mut on_core(CLIENT_CORE, &nothing))?.succeeded()?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        thread::yield_now();
    }
    Ok(median(times.into_iter()))
}
