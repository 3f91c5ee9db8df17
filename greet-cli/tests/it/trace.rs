//! `--trace`: one trace a command, one span an attempt, told once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use greet_proto::{Greeter, HelloReply, HelloRequest};
use tonic::{Request, Response, Status};

use crate::support::{Daemon, Ran, command, greet, nobody, run};

/// Keeps the traceparent of each call; one for whom it is the first fails if it is to.
#[derive(Clone, Default)]
struct Traced {
    seen: Arc<Mutex<Vec<Option<String>>>>,
    first_fails: bool,
}

#[tonic::async_trait]
impl Greeter for Traced {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let parent = request.metadata().get("traceparent");
        let parent = parent.map(|parent| parent.to_str().unwrap().to_owned());
        let mut seen = self.seen.lock().unwrap();
        seen.push(parent);
        match self.first_fails && seen.len() == 1 {
            true => Err(Status::unavailable("once")),
            false => Ok(Response::new(HelloReply { message: "Hello".to_owned() })),
        }
    }
}

impl Traced {
    /// The one trace that all calls were of; each of so many has a span of its own.
    #[track_caller]
    fn trace_of(&self, calls: usize) -> String {
        let seen: Vec<_> = std::mem::take(&mut *self.seen.lock().unwrap());
        let parts = |parent: &Option<String>| {
            let parent = parent.clone().unwrap();
            let parts: Vec<_> = parent.split('-').map(str::to_owned).collect();
            let [version, trace, span, flags] = <[String; 4]>::try_from(parts).unwrap();
            assert_eq!((version.as_str(), flags.as_str()), ("00", "01"), "{parent}");
            assert_eq!((trace.len(), span.len()), (32, 16), "{parent}");
            (trace, span)
        };
        let (traces, spans): (BTreeSet<_>, BTreeSet<_>) = seen.iter().map(parts).unzip();
        assert_eq!((traces.len(), spans.len(), seen.len()), (1, calls, calls), "{seen:?}");
        traces.into_iter().next().unwrap()
    }
}

#[track_caller]
fn told(ran: &Ran, trace: &str) {
    assert_eq!(ran.stderr, format!("greet-cli: trace {trace}\n"), "{ran:?}");
    assert_eq!(ran.code, Some(0));
}

#[test]
fn command_is_trace_and_call_is_span() {
    let greeter = Traced::default();
    let daemon = Daemon::with_greeter(&[], greeter.clone());
    let ran = greet(&daemon.target, &["--trace", "hello", "--name=a", "--name=b"]);
    let first = greeter.trace_of(2);
    told(&ran, &first);
    let ran = greet(&daemon.target, &["hello", "--name=a", "--trace", "--output=json"]);
    let second = greeter.trace_of(1);
    told(&ran, &second);
    assert_eq!(ran.object()["trace_id"], second);
    assert_ne!(first, second);
    let ran = greet(&daemon.target, &["-q", "--trace", "hello", "--name=a"]);
    ran.left("Hello\n", "", 0);
}

#[test]
fn every_attempt_is_its_own_span() {
    let greeter = Traced { first_fails: true, ..Traced::default() };
    let daemon = Daemon::with_greeter(&[], greeter.clone());
    let flags = ["--trace", "--retries=1", "--retry-on=UNAVAILABLE", "hello", "--name=a"];
    let ran = greet(&daemon.target, &flags);
    told(&ran, &greeter.trace_of(2));
}

#[test]
fn load_traces_every_call() {
    let greeter = Traced::default();
    let daemon = Daemon::with_greeter(&[], greeter.clone());
    let flags = ["--trace", "--output=json", "load", "--count=100", "--threads=2"];
    let ran = greet(&daemon.target, &flags);
    let trace = greeter.trace_of(100);
    told(&ran, &trace);
    assert_eq!(ran.object()["trace_id"], trace);
}

#[test]
fn every_object_carries_trace_id() {
    let daemon = Daemon::start(&[]);
    for verb in [&["health"][..], &["diagnose"], &["hello", "--name=a", "--count=2"]] {
        let ran = greet(&daemon.target, &[&["--trace", "--output=json"], verb].concat());
        let objects = ran.objects();
        told(&ran, objects[0]["trace_id"].as_str().unwrap());
        assert!(objects.iter().all(|object| object["trace_id"] == objects[0]["trace_id"]));
    }
    let ran = greet(&nobody(), &["--trace", "--output=json", "hello", "--name=a"]);
    assert_eq!((ran.object()["trace_id"].is_string(), ran.code), (true, Some(3)));
}

#[test]
fn traceparent_is_sent_on_request_only() {
    let greeter = Traced::default();
    let daemon = Daemon::with_greeter(&[], greeter.clone());
    let ran = greet(&daemon.target, &["--output=json", "hello", "--name=a"]);
    assert_eq!((ran.object().get("trace_id"), ran.stderr.as_str()), (None, ""));
    assert_eq!(*greeter.seen.lock().unwrap(), [None]);
}

#[test]
fn own_traceparent_conflicts_with_trace_flag() {
    let greeter = Traced::default();
    let daemon = Daemon::with_greeter(&[], greeter.clone());
    let own = format!("00-{:032x}-{:016x}-01", 7, 7);
    let header = format!("--header=traceparent: {own}");
    greet(&daemon.target, &[&header, "hello", "--name=a"]).left("Hello\n", "", 0);
    assert_eq!(*greeter.seen.lock().unwrap(), [Some(own)]);
    greet(&daemon.target, &[&header, "--trace", "hello", "--name=a"]).left(
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
