//! The well-behaved client beside an attack: calls at a fixed rate on one connection, and calls on new
//! connections. Each starts when it is due, whether those before it have ended or not, so that a slow server
//! does not get fewer of them.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use crate::harness::command::capture;
use crate::harness::programs::Programs;
use crate::harness::sample;

/// Calls a second on the one connection.
pub(crate) const RATE: u32 = 50;
/// Calls in flight at a time. The daemon reserves the last part of its limits for connections with fewer
/// than eight.
const CONCURRENCY: u32 = 7;
/// Interval between two calls on new connections.
pub(crate) const CONNECT_INTERVAL: Duration = Duration::from_millis(100);

/// A well-behaved client.
#[derive(Debug)]
pub(crate) struct GoodClient<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) target: &'a str,
    /// The certificate authority of a server with TLS.
    pub(crate) ca: Option<PathBuf>,
    /// The maximum duration of a call.
    pub(crate) timeout: Duration,
    pub(crate) duration: Duration,
    /// Whether the server has `grpc.health.v1`.
    pub(crate) has_health: bool,
}

/// The calls of a well-behaved client.
#[derive(Debug, Default)]
pub(crate) struct GoodCalls {
    /// Calls that were due at the rate, those that could not start because others waited included.
    pub(crate) due: u64,
    pub(crate) answered: u64,
    /// The 99th percentile of the latency of the answered calls at the rate.
    pub(crate) p99: Option<Duration>,
    /// Calls on new connections.
    pub(crate) connects: u64,
    pub(crate) connects_answered: u64,
    /// The longest of those that were answered, the start of its process included.
    pub(crate) longest_connect: Option<Duration>,
    pub(crate) first_failure: Option<String>,
}

/// A call on a new connection.
#[derive(Debug)]
struct Connect {
    took: Duration,
    /// What greet-cli printed, if the call was not answered.
    failure: Option<String>,
}

impl GoodCalls {
    /// Returns the share of calls that were answered.
    pub(crate) fn success(&self) -> f64 {
        (self.answered + self.connects_answered) as f64 / (self.due + self.connects).max(1) as f64
    }
}

impl GoodClient<'_> {
    pub(crate) fn run(&self) -> anyhow::Result<GoodCalls> {
        let mut load = self.load();
        thread::scope(|scope| {
            let load = scope.spawn(move || capture(&mut load));
            let due = self.duration.as_millis() / CONNECT_INTERVAL.as_millis();
            let connects = (0..due).map(|_| {
                let connects = scope.spawn(|| self.connects());
                thread::park_timeout(CONNECT_INTERVAL);
                connects
            });
            let mut calls = GoodCalls::default();
            for connects in connects.collect::<Vec<_>>() {
                for connect in connects.join().expect("no call panics")? {
                    calls.add_connect(connect);
                }
            }
            let load = load.join().expect("the load does not panic")?;
            let report = serde_json::from_str(&load.stdout).with_context(|| load.to_string())?;
            calls.add_load(&report, u64::from(RATE) * self.duration.as_millis() as u64 / 1_000)?;
            Ok(calls)
        })
    }

    /// Makes a call on a new connection, and then another one of the health service.
    fn connects(&self) -> anyhow::Result<Vec<Connect>> {
        let call = self.connect(&sample::call(&["Ada"]), &sample::reply("Ada"))?;
        let health = self.has_health.then(|| self.connect(&["health"], "SERVING\n"));
        Ok([call].into_iter().chain(health.transpose()?).collect())
    }

    fn connect<T: AsRef<str>>(&self, arguments: &[T], expected: &str) -> anyhow::Result<Connect> {
        let started = Instant::now();
        let captured = capture(&mut self.client(arguments))?;
        let is_answered = captured.status.success() && captured.stdout == expected;
        let failure = (!is_answered).then(|| captured.to_string());
        Ok(Connect { took: started.elapsed(), failure })
    }

    /// Makes one call, which must be answered.
    pub(crate) fn connect_once(&self) -> anyhow::Result<()> {
        let reply = capture(&mut self.client(&sample::call(&["Ada"])))?.succeeded()?;
        anyhow::ensure!(reply == sample::reply("Ada"), "the reply was {reply:?}");
        Ok(())
    }

    fn load(&self) -> Command {
        let mut load = self.client(&["--output=json", "load", "--connections=1", "--warm-up=0s"]);
        load.arg(format!("--rate={RATE}")).arg(format!("--concurrency={CONCURRENCY}"));
        load.arg(format!("--duration={}ms", self.duration.as_millis()));
        load
    }

    fn client<T: AsRef<str>>(&self, arguments: &[T]) -> Command {
        let mut client = self.programs.client(self.target, &[]);
        client.arg(format!("--timeout={}ms", self.timeout.as_millis()));
        if let Some(ca) = &self.ca {
            client.arg("--ca-cert").arg(ca);
        }
        client.args(arguments.iter().map(AsRef::as_ref));
        client
    }
}

impl GoodCalls {
    fn add_connect(&mut self, connect: Connect) {
        self.connects += 1;
        match connect.failure {
            None => {
                self.connects_answered += 1;
                self.longest_connect = self.longest_connect.max(Some(connect.took));
            }
            Some(failure) => drop(self.first_failure.get_or_insert(failure)),
        }
    }

    /// Adds the report of the calls at the rate. If greet-cli never connected, all that were due failed.
    fn add_load(&mut self, report: &Value, planned: u64) -> anyhow::Result<()> {
        let calls = |name| report.pointer(&format!("/calls/{name}")).and_then(Value::as_u64);
        let answered = calls("ok").context("load reports its calls")?;
        let failed = calls("failed").unwrap_or_default();
        let due = answered + failed + calls("not_started").unwrap_or_default();
        self.due = if due == 0 { planned } else { due };
        self.answered = answered;
        let p99 = report.pointer("/latency_us/p99").and_then(Value::as_u64);
        self.p99 = p99.filter(|_| answered > 0).map(Duration::from_micros);
        if failed > 0 {
            self.first_failure.get_or_insert_with(|| report.to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_that_could_not_start_are_not_answered() {
        let report = json!({
            "calls": { "ok": 6, "failed": 1, "not_started": 3 },
            "latency_us": { "p99": 1_500 },
        });
        let mut calls = GoodCalls { connects: 10, connects_answered: 10, ..GoodCalls::default() };
        calls.add_load(&report, 10).unwrap();
        assert_eq!((calls.due, calls.answered, calls.success()), (10, 6, 0.8));
        assert_eq!(calls.p99, Some(Duration::from_micros(1_500)));
        assert!(calls.first_failure.is_some());
    }

    #[test]
    fn longest_of_the_answered_connects_counts() {
        let mut calls = GoodCalls::default();
        for (ms, failure) in [(7, None), (9, None), (2_000, Some("failed".to_owned()))] {
            calls.add_connect(Connect { took: Duration::from_millis(ms), failure });
        }
        assert_eq!((calls.connects, calls.connects_answered), (3, 2));
        assert_eq!(calls.longest_connect, Some(Duration::from_millis(9)));
        assert_eq!(calls.first_failure.as_deref(), Some("failed"));
    }

    #[test]
    fn load_that_never_connects_answers_no_call() {
        let mut calls = GoodCalls::default();
        let report = json!({ "calls": { "ok": 0, "failed": 0, "not_started": 0 } });
        calls.add_load(&report, 200).unwrap();
        assert_eq!((calls.due, calls.success(), calls.p99), (200, 0.0, None));
    }
}
