//! `health` answers with a word and an exit code.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::json;

use crate::raw::{END_STREAM, answer, headers};
use crate::support::{Daemon, command, fake, greet, listen_forever, nobody, object, serve};

#[test]
fn serving_server_is_serving() {
    let daemon = Daemon::start(&[]);
    greet(&daemon.target, &["health"]).left("SERVING\n", "", 0);
    greet(&daemon.target, &["health", "--service", "greet.Greeter"]).left("SERVING\n", "", 0);
}

#[test]
fn unknown_service_is_not_found() {
    let daemon = Daemon::start(&[]);
    greet(&daemon.target, &["health", "--service", "no.Such"]).left(
        "",
        "greet-cli: rpc: NOT_FOUND: unknown service\n\n\
         hint: the server does not know this name: check its spelling and case\n",
        69,
    );
}

#[test]
fn draining_server_is_not_serving() {
    let mut daemon = Daemon::start(&["--drain-delay=1s"]);
    daemon.drain_until_not_serving();
    greet(&daemon.target, &["health"]).left("NOT_SERVING\n", "", 4);
}

#[test]
fn health_in_json_is_one_object() {
    let daemon = Daemon::start(&[]);
    let mut object = greet(&daemon.target, &["--output=json", "health"]).object();
    object["timing_us"].take();
    assert_eq!(
        object,
        json!({
            "schema": "greet.health/v1", "ok": true, "service": "", "serving": "SERVING",
            "status": {"code": 0, "name": "OK", "message": ""},
            "target": daemon.target, "peer": daemon.address(), "instance": null,
            "headers": {}, "trailers": {}, "attempts": 1, "timing_us": null, "error": null,
        })
    );
    let ran = greet(&nobody(), &["--output=json", "health"]);
    assert_eq!(ran.code, Some(3));
    assert_eq!((&ran.object()["ok"], &ran.object()["serving"]), (&json!(false), &json!(null)));
}

#[test]
fn silent_server_is_not_connected() {
    let ran = greet(&fake(listen_forever), &["--timeout=50ms", "health"]);
    assert_eq!(ran.code, Some(3));
}

/// `greet-cli health --watch` and its standard output.
fn watch(target: &str, flags: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut watch = command(&[&["--target", target, "health", "--watch"], flags].concat());
    let mut child = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

fn line(stdout: &mut impl BufRead) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    line
}

#[test]
fn watch_prints_every_change_with_time() {
    let mut daemon = Daemon::start(&["--drain-delay=300ms"]);
    let (mut child, mut stdout) = watch(&daemon.target, &[]);
    let state = |line: String| {
        let (time, state) = line.trim_end().split_once(' ').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        state.to_owned()
    };
    assert_eq!(state(line(&mut stdout)), "SERVING");
    daemon.drain();
    assert_eq!(state(line(&mut stdout)), "NOT_SERVING");
    assert_eq!(state(line(&mut stdout)), "UNREACHABLE", "and then it is gone");
    let address = daemon.address().to_owned();
    drop(daemon);
    let _another = Daemon::start(&["--listen", &address]);
    assert_eq!(state(line(&mut stdout)), "SERVING", "a server that comes back is a change");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn watch_in_json_prints_one_object_per_change() {
    let daemon = Daemon::start(&[]);
    let (mut child, mut stdout) = watch(&daemon.target, &["--output=json"]);
    let change = object(&line(&mut stdout));
    assert_eq!((&change["serving"], change["time"].is_string()), (&json!("SERVING"), true));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn watch_with_wait_ends_at_serving() {
    let daemon = Daemon::start(&[]);
    let ran = greet(&daemon.target, &["health", "--watch", "--wait=20s"]);
    assert_eq!((ran.stdout.ends_with(" SERVING\n"), ran.code), (true, Some(0)), "{ran:?}");
    let ran = greet(&nobody(), &["health", "--watch", "--wait=300ms"]);
    assert_eq!((ran.stdout.ends_with(" UNREACHABLE\n"), ran.code), (true, Some(3)), "{ran:?}");
    let ran = greet(&daemon.target, &["health", "--watch", "--wait=300ms", "--service=no.Such"]);
    assert_eq!((ran.stdout.ends_with(" SERVICE_UNKNOWN\n"), ran.code), (true, Some(4)), "{ran:?}");
}

#[test]
fn watch_needs_health_service() {
    let unimplemented = [(":status", "200"), ("grpc-status", "12")];
    let address = serve(answer(headers(END_STREAM, &unimplemented)));
    let ran = greet(&address, &["health", "--watch"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(76)), "{ran:?}");
}

#[test]
fn all_targets_are_checked() {
    let daemon = Daemon::start(&[]);
    let nobody = nobody();
    let ran = greet(&format!("{},{nobody}", daemon.target), &["health"]);
    assert_eq!(ran.stdout, format!("SERVING {}\n", daemon.target));
    let line = format!("greet-cli: http://{nobody}: tcp: could not connect to {nobody}: ");
    assert!(ran.stderr.starts_with(&line), "{ran:?}");
    assert_eq!(ran.code, Some(3));
    let ran = greet(&format!("{},{nobody}", daemon.target), &["health", "--watch"]);
    assert_eq!(ran.code, Some(2), "a watch is of one");
}

#[test]
fn watch_with_wait_ends_in_time_on_silent_server() {
    let silent = serve(listen_forever);
    let ran = greet(&silent, &["--timeout=5s", "health", "--watch", "--wait=300ms"]);
    assert_eq!((ran.stdout.ends_with(" UNREACHABLE\n"), ran.code), (true, Some(3)), "{ran:?}");
    assert!(ran.stderr.contains("sent no SETTINGS within"), "{ran:?}");
}
