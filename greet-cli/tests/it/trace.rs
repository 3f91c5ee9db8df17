//! `--trace`: a command is a trace, and each attempt of a call is a span.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tonic::Status;

use crate::support::sample::{CALL, LINE, calls};
use crate::support::{CommandOutput, Daemon, cli, command, run, scripted, unused_address};

/// A daemon that records the traceparent of each call.
struct TracedDaemon {
    target: String,
    received: Arc<Mutex<Vec<Option<String>>>>,
    _daemon: Daemon,
}

impl TracedDaemon {
    fn start() -> TracedDaemon {
        TracedDaemon::failing(0)
    }

    /// Starts a daemon that fails the first `calls` calls with UNAVAILABLE.
    fn failing(calls: usize) -> TracedDaemon {
        let received = Arc::<Mutex<Vec<_>>>::default();
        let recorder = Arc::clone(&received);
        let daemon = Daemon::with_handler(move |request| {
            let parent = request.metadata().get("traceparent");
            let parent = parent.map(|parent| parent.to_str().unwrap().to_owned());
            let mut received = recorder.lock().unwrap();
            received.push(parent);
            let fails = received.len() <= calls;
            async move {
                if fails {
                    return Err(Status::unavailable("once"));
                }
                scripted(request).await
            }
        });
        TracedDaemon { target: daemon.target.clone(), received, _daemon: daemon }
    }

    /// Returns the traceparents of the calls since the last time.
    fn take_received(&self) -> Vec<Option<String>> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }

    /// Asserts that `calls` calls have been received since the last time, all of one trace and each
    /// with its own span. Returns the trace.
    #[track_caller]
    fn trace_of(&self, calls: usize) -> String {
        let received = self.take_received();
        let ids = |parent: &Option<String>| {
            let parent = parent.as_ref().unwrap();
            let fields: Vec<_> = parent.split('-').map(str::to_owned).collect();
            let [version, trace, span, flags] = <[String; 4]>::try_from(fields).unwrap();
            assert_eq!((version.as_str(), flags.as_str()), ("00", "01"), "{parent}");
            assert_eq!((trace.len(), span.len()), (32, 16), "{parent}");
            (trace, span)
        };
        let (traces, spans): (BTreeSet<_>, BTreeSet<_>) = received.iter().map(ids).unzip();
        assert_eq!((traces.len(), spans.len(), received.len()), (1, calls, calls), "{received:?}");
        traces.into_iter().next().unwrap()
    }
}

#[track_caller]
fn assert_reports_trace(ran: &CommandOutput, trace: &str) {
    assert_eq!(ran.stderr, format!("greet-cli: trace {trace}\n"), "{ran:?}");
    assert_eq!(ran.code, Some(0));
}

#[test]
fn command_is_trace_and_call_is_span() {
    let daemon = TracedDaemon::start();
    let ran = cli(&daemon.target, &calls(&["--trace"], &["a", "b"]));
    let first = daemon.trace_of(2);
    assert_reports_trace(&ran, &first);
    let ran = cli(&daemon.target, &[CALL, &["--trace", "--output=json"]].concat());
    let second = daemon.trace_of(1);
    assert_reports_trace(&ran, &second);
    assert_eq!(ran.object()["trace_id"], second);
    assert_ne!(first, second);
    let ran = cli(&daemon.target, &[&["-q", "--trace"], CALL].concat());
    ran.assert(LINE, "", 0);
}

#[test]
fn every_attempt_is_its_own_span() {
    let daemon = TracedDaemon::failing(1);
    let flags = ["--trace", "--retries=1", "--retry-on=UNAVAILABLE"];
    let ran = cli(&daemon.target, &[&flags[..], CALL].concat());
    assert_reports_trace(&ran, &daemon.trace_of(2));
}

#[test]
fn load_traces_every_call() {
    let daemon = TracedDaemon::start();
    let flags = ["--trace", "--output=json", "load", "--count=100", "--threads=2"];
    let ran = cli(&daemon.target, &flags);
    let trace = daemon.trace_of(100);
    assert_reports_trace(&ran, &trace);
    assert_eq!(ran.object()["trace_id"], trace);
}

#[test]
fn every_object_carries_trace_id() {
    let daemon = Daemon::start(&[]);
    let calls = [CALL, &["--count=2"]].concat();
    for verb in [&["health"][..], &["diagnose"], &calls] {
        let ran = cli(&daemon.target, &[&["--trace", "--output=json"], verb].concat());
        let objects = ran.objects();
        assert_reports_trace(&ran, objects[0]["trace_id"].as_str().unwrap());
        assert!(objects.iter().all(|object| object["trace_id"] == objects[0]["trace_id"]));
    }
    let ran = cli(&unused_address(), &[&["--trace", "--output=json"], CALL].concat());
    assert_eq!((ran.object()["trace_id"].is_string(), ran.code), (true, Some(3)));
}

#[test]
fn traceparent_is_sent_on_request_only() {
    let daemon = TracedDaemon::start();
    let ran = cli(&daemon.target, &[&["--output=json"], CALL].concat());
    assert_eq!((ran.object().get("trace_id"), ran.stderr.as_str()), (None, ""));
    assert_eq!(daemon.take_received(), [None]);
}

#[test]
fn own_traceparent_conflicts_with_trace_flag() {
    let daemon = TracedDaemon::start();
    let own = format!("00-{:032x}-{:016x}-01", 7, 7);
    let header = format!("--header=traceparent: {own}");
    cli(&daemon.target, &[&[header.as_str()], CALL].concat()).assert(LINE, "", 0);
    assert_eq!(daemon.take_received(), [Some(own)]);
    cli(&daemon.target, &[&[header.as_str(), "--trace"], CALL].concat()).assert(
        "",
        "greet-cli: --trace: cannot be used with --header traceparent\n",
        2,
    );
}

#[test]
fn trace_variable_affects_calls_only() {
    let daemon = Daemon::start(&[]);
    let traced = |arguments: &[&str]| {
        let mut command = command(&[&["--target", &daemon.target], arguments].concat());
        command.env("GREET_TRACE", "1");
        run(command)
    };
    assert!(traced(&["health"]).stderr.starts_with("greet-cli: trace "));
    assert_eq!(traced(&["man"]).stderr, "");
}
