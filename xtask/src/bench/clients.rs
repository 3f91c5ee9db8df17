//! The cost of the clients: of a call that a load generator makes, and of a single call from the
//! command line.

use std::process::Command;
use std::time::Instant;

use super::calls::{Effort, median};
use super::cpu::cpu_time_of_children;
use super::h2load::{Generator, Shape};
use super::peers::Starter;
use crate::harness::command::{capture, program};
use crate::harness::cores::{CLIENT_CORE, on_core};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::stacks;
use crate::harness::tools;

/// Calls a second that a generator makes at least, so that a sample has about its length.
const CALLS_PER_S: f64 = 50_000.0;
/// Runs between two readings of the CPU time, whose unit is 10 ms.
const RUNS: usize = 20;
/// Runs of a client of another stack, which takes a tenth of a second and more.
const RUNS_OF_OTHERS: usize = 2;

/// The figures of a client.
#[derive(Debug)]
pub(super) struct OneShot {
    pub(super) name: &'static str,
    pub(super) ms: f64,
    pub(super) cpu_ms: f64,
}

/// The CPU time of a call for `greet-cli load`, against that of h2load on the same server.
#[derive(Debug)]
pub(super) struct LoadCost {
    pub(super) h2load_us: f64,
    pub(super) greet_us: f64,
    pub(super) ratio: f64,
}

pub(super) fn load_cost(
    programs: &Programs,
    server: &Daemon,
    generator: &Generator,
    effort: Effort,
) -> anyhow::Result<LoadCost> {
    let shape = Shape::TEN_BY_TEN;
    let calls = (CALLS_PER_S * effort.seconds_per_sample) as u64;
    let mut load = programs.client(&server.target, &["load", "--threads=1", "--fail-if=errors>0"]);
    load.arg(format!("--connections={}", shape.connections));
    load.arg(format!("--concurrency={}", shape.connections * shape.streams));
    load.arg(format!("--count={calls}"));
    let rounds = (0..effort.rounds).map(|_| {
        let h2load = generator.call(server, shape, calls)?.client_us_per_call;
        let before = cpu_time_of_children()?;
        capture(&mut on_core(CLIENT_CORE, &load))?.succeeded()?;
        let took = cpu_time_of_children()? - before;
        Ok((h2load, took.as_secs_f64() * 1e6 / calls as f64))
    });
    let rounds = rounds.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(LoadCost {
        h2load_us: median(rounds.iter().map(|(h2load, _)| *h2load)),
        greet_us: median(rounds.iter().map(|(_, greet)| *greet)),
        ratio: median(rounds.iter().map(|(h2load, greet)| greet / h2load)),
    })
}

/// Measures one call, from exec to exit, for each client that is installed.
pub(super) fn one_shots(
    starter: &Starter,
    server: &Daemon,
    rounds: usize,
) -> anyhow::Result<Vec<OneShot>> {
    struct Client {
        name: &'static str,
        command: Command,
        /// What standard output contains.
        expected: &'static str,
        runs: usize,
        wall_ms: Vec<f64>,
        cpu_ms: f64,
    }
    let mut clients = Vec::new();
    let mut add = |name, command: &Command, expected, runs| {
        let command = on_core(CLIENT_CORE, command);
        clients.push(Client { name, command, expected, runs, wall_ms: Vec::new(), cpu_ms: 0.0 });
    };
    // A program that does nothing: the share of the pinning and the process in all times.
    add(NOTHING, &program("true"), "", RUNS);
    let (hello, reply) = (["hello", "--name=Ada"], "Hello Ada");
    add(HELLO, &starter.programs.client(&server.target, &hello), reply, RUNS);
    add("greet-cli --version", program(&starter.programs.cli).arg("--version"), "greet-cli", RUNS);
    if let Some(guided) = &starter.guided {
        add(HELLO_GUIDED, &guided.client(&server.target, &hello), reply, RUNS);
    }
    let address = [server.address(), "Ada"];
    if let Ok(mut node) = stacks::node("clients/node/client.js") {
        add("Node, @grpc/grpc-js", node.args(address), reply, RUNS_OF_OTHERS);
    }
    if let Ok(mut python) = tools::python("clients/python/client.py") {
        add("Python, grpcio", python.args(address), reply, RUNS_OF_OTHERS);
    }
    if let Ok(mut buf) = stacks::buf() {
        buf.args(["curl", "--protocol=grpc", "--http2-prior-knowledge"]);
        buf.args(["--reflect-protocol=grpc-v1", "--data", r#"{"name":"Ada"}"#]);
        buf.arg(format!("{}/greet.Greeter/SayHello", server.target));
        add("buf curl", buf.env("BUF_CACHE_DIR", std::env::temp_dir()), reply, RUNS_OF_OTHERS);
    }
    for _ in 0..rounds {
        for client in &mut clients {
            let before = cpu_time_of_children()?;
            for _ in 0..client.runs {
                let started = Instant::now();
                let output = capture(&mut client.command)?.succeeded()?;
                client.wall_ms.push(started.elapsed().as_secs_f64() * 1e3);
                let is_expected = output.contains(client.expected);
                anyhow::ensure!(is_expected, "{} printed {output:?}", client.name);
            }
            client.cpu_ms += (cpu_time_of_children()? - before).as_secs_f64() * 1e3;
        }
    }
    let figures = clients.into_iter().map(|client| OneShot {
        name: client.name,
        cpu_ms: client.cpu_ms / client.wall_ms.len() as f64,
        ms: median(client.wall_ms.into_iter()),
    });
    Ok(figures.collect())
}

pub(super) const NOTHING: &str = "nothing (`true`)";
pub(super) const HELLO: &str = "greet-cli hello";
pub(super) const HELLO_GUIDED: &str = "greet-cli hello, profile-guided";
