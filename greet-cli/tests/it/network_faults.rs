//! Calls over a network that fails: each has one outcome, and what the client reports agrees with what the
//! server has executed.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use std::{env, thread};

use fastrand::Rng;
use greet_server::ShutdownReport;
use greet_server::config::Config;
use greet_testkit::certs::Ca;
use greet_testkit::faulty_network::{ConnectionPlan, DirectionPlan, Fault, FaultyNetwork};
use greet_testkit::{TEST_TIMEOUT, TestServer, poll_until};
use serde_json::Value;
use tonic::Response;

use crate::support::sample::{CALL_LINES, input, message, sent_text};
use crate::support::{command, metrics, service, spawn};

/// A call that waits for it hangs.
const LONG: Duration = Duration::from_secs(30);
/// The timeout of calls whose connection may be partitioned.
const SHORT: Duration = Duration::from_millis(300);
/// Time above its timeout that a call may take on a busy machine.
const GRACE: Duration = Duration::from_secs(15);

/// The length of the texts: calls of one length fail after the same numbers of bytes.
const TEXT_BYTES: usize = 28;

/// Bytes at the end of an exchange that may not pass: the GOAWAY of the server, if the client is faster, and
/// digits of a port or a timeout, whose lengths in HPACK differ.
const LAST_BYTES: u64 = 20;

/// The connections of a run with a call for each; the programs of a test have few descriptors.
const MAX_CONNECTIONS: usize = 64;

/// The seeds of a test run. `SEEDS=42..43` repeats one.
const SEEDS: Range<u64> = 0..150;
const SEEDS_VARIABLE: &str = "SEEDS";
/// The bytes of a direction that have faults: those of the preface, of a call, and of several calls or a
/// handshake of TLS.
const EXCHANGE_BYTES: [u64; 3] = [50, 400, 2_000];
/// The calls of a seed.
const CALLS: usize = 24;
/// Seeds at a time; most of them wait for a partition.
const THREADS: usize = 8;

/// The number of executions of each call, by its text. The handler of the server counts them.
#[derive(Debug, Clone, Default)]
struct Ledger(Arc<Mutex<HashMap<String, u64>>>);

impl Ledger {
    /// Starts a server that counts its executions here, and sends the text of each.
    fn server(&self, flags: &[&str], executed: mpsc::Sender<()>) -> TestServer {
        let ledger = self.clone();
        let handler = move |request: tonic::Request<service::Request>| {
            let text = request.into_inner().name;
            let reply = service::reply(&text);
            *ledger.0.lock().unwrap().entry(text).or_default() += 1;
            let _ = executed.send(()); // the test may be past waiting
            async { Ok(Response::new(reply)) }
        };
        let services = move |config: &Config| vec![service::of_handler(config, handler.clone())];
        TestServer::with_services(&[&["--admin-listen=127.0.0.1:0"], flags].concat(), services)
    }

    fn executions(&self, text: &str) -> u64 {
        self.0.lock().unwrap().get(text).copied().unwrap_or(0)
    }

    fn total(&self) -> u64 {
        self.0.lock().unwrap().values().sum()
    }
}

/// The calls of a run of greet-cli, and their outcomes in order.
struct Calls {
    texts: Vec<String>,
    outcomes: Vec<Value>,
}

/// Runs greet-cli with a call for each text.
fn run(target: &str, texts: Vec<String>, timeout: Duration, flags: &[String]) -> Calls {
    let timeout = format!("--timeout={}ms", timeout.as_millis());
    let mut command = command(&["--target", target, "--output=json", &timeout]);
    command.args(CALL_LINES).args(flags);
    let texts_of_lines: Vec<_> = texts.iter().map(String::as_str).collect();
    let ran = spawn(command).finish_with(input(&texts_of_lines).as_bytes());
    let outcomes = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
    let outcomes: Vec<Value> = outcomes.collect();
    let first_failure = outcomes.iter().find(|outcome| outcome["ok"] == false);
    let code = |failed: &Value| failed["status"]["code"].as_i64().map_or(3, |code| 64 + code);
    assert_eq!(ran.code.map(i64::from), Some(first_failure.map_or(0, code)), "{}", ran.stderr);
    let calls = Calls { texts, outcomes };
    assert_eq!(
        calls.outcomes.len(),
        calls.texts.len(),
        "each call has one outcome: {}",
        ran.stderr
    );
    calls
}

impl Calls {
    /// Compares the outcomes with what the server has executed. Returns the number of calls with status OK.
    fn check(&self, ledger: &Ledger, max_total: Duration, max_executions: u64) -> u64 {
        let mut answered = 0;
        for (text, outcome) in self.texts.iter().zip(&self.outcomes) {
            let executions = ledger.executions(text);
            let context = format!("{executions} executions: {outcome}");
            assert_eq!(sent_text(outcome), text, "{context}");
            assert!(executions <= max_executions, "executed more than {max_executions}, {context}");
            if outcome["ok"] == true {
                answered += 1;
                assert!(executions >= 1, "answered and not executed, {context}");
                assert_eq!(message(outcome), &service::reply(text).message, "{context}");
            } else if outcome["status"].is_null() {
                assert_ne!(outcome["error"]["stage"], "rpc", "{context}");
                assert_eq!(executions, 0, "executed although it was never sent, {context}");
            } else {
                assert_eq!(outcome["error"]["stage"], "rpc", "{context}");
            }
            let total = Duration::from_micros(outcome["timing_us"]["total"].as_u64().unwrap());
            assert!(total < max_total, "took longer than {max_total:?}, {context}");
        }
        answered
    }
}

/// Waits until no connection is open and no call in flight, then stops the server.
fn stop_idle(server: TestServer) -> ShutdownReport {
    let is_idle = |page: &String| {
        ["greet_connections_open 0\n", "greet_calls_in_flight 0\n"]
            .iter()
            .all(|line| page.contains(line))
    };
    let page = poll_until(TEST_TIMEOUT, || Some(metrics(server.admin())).filter(is_idle));
    assert!(page.is_some(), "the server should have no connection: {}", metrics(server.admin()));
    let report = server.blocking_stop();
    assert_eq!(report.cut, 0, "{report:?}");
    report
}

fn texts(prefix: &str, count: usize) -> Vec<String> {
    let text = |number| format!("{:x<TEXT_BYTES$}", format!("{prefix}-{number}-"));
    (0..count).map(text).collect()
}

/// Calls a server whose connections each fail after a number of bytes of one direction, from 0 to the last of an
/// exchange: a connection and a call for each number.
#[test]
fn fault_after_any_byte_is_reported_as_it_is() {
    let ledger = Ledger::default();
    let server = ledger.server(&[], mpsc::channel().0);
    let exchange = {
        let network = FaultyNetwork::start(server.address(), |_| ConnectionPlan::default());
        let calls = run(&network.address, texts("fault-free", 1), LONG, &[]);
        assert_eq!(calls.outcomes[0]["ok"], true);
        network.passed()[0]
    };
    // An end of the connection is noticed at once, a partition at the timeout.
    let faults = [
        (Fault::Reset, LONG, GRACE),
        (Fault::Close, LONG, GRACE),
        (Fault::Partition, SHORT, SHORT + GRACE),
        (Fault::OneWayPartition, SHORT, SHORT + GRACE),
    ];
    let directions = [failing_to_server as fn(_, _) -> _, failing_to_client];
    let flags = ["--connections", "--concurrency"].map(|it| format!("{it}={MAX_CONNECTIONS}"));
    let mut all = Vec::new();
    for (direction, (plan, bytes)) in directions.into_iter().zip(exchange).enumerate() {
        for (fault, timeout, max_total) in faults {
            for first in (0..=bytes).step_by(MAX_CONNECTIONS) {
                let connections = MAX_CONNECTIONS.min((bytes - first) as usize + 1);
                let plan = move |connection| plan(first + connection as u64, fault);
                let network = FaultyNetwork::start(server.address(), plan);
                let texts = texts(&format!("{direction}-{fault:?}-{first}"), connections);
                let calls = run(&network.address, texts, timeout, &flags);
                let passed = network.passed();
                assert!(passed.len() >= connections, "each call has its connection");
                if timeout == LONG {
                    let planned =
                        (first..).zip(&passed).take_while(|(at, _)| at + LAST_BYTES <= bytes);
                    let unfired = planned.filter(|(at, passed)| passed[direction] != *at);
                    assert_eq!(unfired.collect::<Vec<_>>(), [], "{fault:?} of {bytes} bytes");
                }
                all.push((calls, max_total));
            }
        }
    }
    let report = stop_idle(server);
    let answered: u64 =
        all.iter().map(|(calls, max_total)| calls.check(&ledger, *max_total, 1)).sum();
    assert!(answered < report.answered, "a reply may be lost, {report:?}");
    assert!(ledger.total() <= report.answered + report.abandoned, "{report:?}");
    for stage in ["http2", "rpc"] {
        let is_failed = |outcome: &Value| outcome["error"]["stage"] == stage;
        let failed = all.iter().flat_map(|(calls, _)| &calls.outcomes).filter(|it| is_failed(it));
        assert!(failed.count() > 100, "the faults cover the stage {stage}");
    }
}

fn failing_to_server(at: u64, fault: Fault) -> ConnectionPlan {
    let to_server = DirectionPlan { fault: Some((at, fault)), ..DirectionPlan::default() };
    ConnectionPlan { to_server, ..ConnectionPlan::default() }
}

fn failing_to_client(at: u64, fault: Fault) -> ConnectionPlan {
    let to_client = DirectionPlan { fault: Some((at, fault)), ..DirectionPlan::default() };
    ConnectionPlan { to_client, ..ConnectionPlan::default() }
}

/// Calls over connections with random faults, delays and pieces, while the server is replaced.
#[test]
fn seeded_faults_are_reported_as_they_are() {
    let seeds = env::var(SEEDS_VARIABLE).map_or(SEEDS, |seeds| {
        let (first, end) = seeds.split_once("..").expect("SEEDS=FIRST..END");
        first.parse().unwrap()..end.parse().unwrap()
    });
    let ca = Ca::new("Test CA");
    let [cert, key] = ca.sign_files("server").server_flags();
    let tls = Tls { server: [&cert, &key], client: &ca.ca_cert_flag() };
    let next = AtomicU64::new(seeds.start);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seed < seeds.end
                {
                    if catch_unwind(|| simulate(seed, &tls)).is_err() {
                        let (end, package) = (seed + 1, env!("CARGO_PKG_NAME"));
                        panic!(
                            "seed {seed}: {SEEDS_VARIABLE}={seed}..{end} \
                             cargo test -p {package} --test it network_faults::seeded"
                        );
                    }
                }
            });
        }
    });
}

/// The flags of a server and of a client with TLS.
struct Tls<'a> {
    server: [&'a str; 2],
    client: &'a str,
}

fn simulate(seed: u64, tls: &Tls<'_>) {
    let mut rng = Rng::with_seed(seed);
    let is_tls = rng.bool();
    let ledger = Ledger::default();
    let (executed, executions) = mpsc::channel();
    let mut server_flags = vec!["--drain-timeout=200ms"];
    server_flags.extend(tls.server.iter().filter(|_| is_tls));
    let start = || ledger.server(&server_flags, executed.clone());
    let server = start();

    let network = FaultyNetwork::start(server.address(), move |connection| {
        let mut rng = Rng::with_seed(seed << 16 | connection as u64);
        let bytes = EXCHANGE_BYTES[rng.usize(..EXCHANGE_BYTES.len())];
        ConnectionPlan::random(&mut rng, bytes)
    });
    let scheme = if is_tls { "https" } else { "http" };
    let target = format!("{scheme}://{}", network.address);
    let retries_sent_calls = rng.u8(..4) == 0;
    let retries = rng.u64(..=3);
    let mut flags = vec![
        format!("--connections={}", rng.usize(1..=4)),
        format!("--concurrency={}", rng.usize(1..=8)),
        format!("--retries={retries}"),
    ];
    flags.extend(is_tls.then(|| tls.client.to_owned()));
    flags.extend(retries_sent_calls.then(|| "--retry-on=UNAVAILABLE".to_owned()));

    let restarted_after = rng.bool().then(|| rng.usize(1..CALLS));
    let (calls, server, first) = thread::scope(|scope| {
        let (start, network) = (&start, &network);
        let server = scope.spawn(move || {
            let Some(executed) = restarted_after else {
                return (server, ShutdownReport::default());
            };
            let _ = (0..executed).try_for_each(|_| executions.recv_timeout(TEST_TIMEOUT));
            let next = start();
            network.set_server(next.address());
            (next, server.blocking_stop())
        });
        let calls = run(&target, texts("call", CALLS), SHORT, &flags);
        (0..CALLS).for_each(|_| executed.send(()).unwrap_or_default()); // ends the wait for executions
        let (server, first) = server.join().unwrap();
        (calls, server, first)
    });
    drop(network);
    let reports = [first, stop_idle(server)];
    let max_executions = if retries_sent_calls { 1 + retries } else { 1 };
    let answered = calls.check(&ledger, SHORT + GRACE, max_executions);
    let sum = |count: fn(&ShutdownReport) -> u64| reports.iter().map(count).sum::<u64>();
    assert!(answered <= sum(|report| report.answered), "{reports:?}");
    let ended = sum(|report| report.answered + report.abandoned + report.cut);
    assert!(ledger.total() <= ended, "{} executions: {reports:?}", ledger.total());
}
