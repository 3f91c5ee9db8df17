//! `health` prints the serving status and has an exit code for it.

use serde_json::json;

use crate::support::fake_server::{answer, never_reply, serve, trailers_only};
use crate::support::{Daemon, Running, command, greet, parse_object, spawn, unused_address};

#[test]
fn serving_server_is_serving() {
    let daemon = Daemon::start(&[]);
    greet(&daemon.target, &["health"]).assert("SERVING\n", "", 0);
    greet(&daemon.target, &["health", "--service", "greet.Greeter"]).assert("SERVING\n", "", 0);
}

#[test]
fn unknown_service_is_not_found() {
    let daemon = Daemon::start(&[]);
    greet(&daemon.target, &["health", "--service", "no.Such"]).assert(
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
    greet(&daemon.target, &["health"]).assert("NOT_SERVING\n", "", 4);
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
    let ran = greet(&unused_address(), &["--output=json", "health"]);
    assert_eq!(ran.code, Some(3));
    assert_eq!((&ran.object()["ok"], &ran.object()["serving"]), (&json!(false), &json!(null)));
}

#[test]
fn silent_server_is_not_connected() {
    let ran = greet(&serve(never_reply), &["--timeout=50ms", "health"]);
    assert_eq!(ran.code, Some(3));
}

/// Starts `greet-cli health --watch`.
fn watch(target: &str, flags: &[&str]) -> Running {
    spawn(command(&[&["--target", target, "health", "--watch"], flags].concat()))
}

#[test]
fn watch_prints_every_change_with_time() {
    let mut daemon = Daemon::start(&["--drain-delay=300ms"]);
    let mut watch = watch(&daemon.target, &[]);
    let mut next_state = || {
        let line = watch.read_line();
        let (time, state) = line.trim_end().split_once(' ').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        state.to_owned()
    };
    assert_eq!(next_state(), "SERVING");
    daemon.drain();
    assert_eq!(next_state(), "NOT_SERVING");
    assert_eq!(next_state(), "UNREACHABLE");
    let address = daemon.address().to_owned();
    drop(daemon);
    let _restarted = Daemon::start(&["--listen", &address]);
    assert_eq!(next_state(), "SERVING");
}

#[test]
fn watch_in_json_prints_one_object_per_change() {
    let daemon = Daemon::start(&[]);
    let change = parse_object(&watch(&daemon.target, &["--output=json"]).read_line());
    assert_eq!((&change["serving"], change["time"].is_string()), (&json!("SERVING"), true));
}

#[test]
fn watch_with_wait_ends_at_serving() {
    let daemon = Daemon::start(&[]);
    let ran = greet(&daemon.target, &["health", "--watch", "--wait=20s"]);
    assert_eq!((ran.stdout.ends_with(" SERVING\n"), ran.code), (true, Some(0)), "{ran:?}");
    let ran = greet(&unused_address(), &["health", "--watch", "--wait=300ms"]);
    assert_eq!((ran.stdout.ends_with(" UNREACHABLE\n"), ran.code), (true, Some(3)), "{ran:?}");
    let ran = greet(&daemon.target, &["health", "--watch", "--wait=300ms", "--service=no.Such"]);
    assert_eq!((ran.stdout.ends_with(" SERVICE_UNKNOWN\n"), ran.code), (true, Some(4)), "{ran:?}");
}

#[test]
fn watch_needs_health_service() {
    let address = serve(answer(trailers_only(&[("grpc-status", "12")])));
    let ran = greet(&address, &["health", "--watch"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(76)), "{ran:?}");
}

#[test]
fn all_targets_are_checked() {
    let daemon = Daemon::start(&[]);
    let refusing = unused_address();
    let ran = greet(&format!("{},{refusing}", daemon.target), &["health"]);
    assert_eq!(ran.stdout, format!("SERVING {}\n", daemon.target));
    let line = format!("greet-cli: http://{refusing}: tcp: could not connect to {refusing}: ");
    assert!(ran.stderr.starts_with(&line), "{ran:?}");
    assert_eq!(ran.code, Some(3));
    let ran = greet(&format!("{},{refusing}", daemon.target), &["health", "--watch"]);
    assert_eq!(ran.code, Some(2), "--watch has one target");
}

#[test]
fn watch_with_wait_ends_in_time_on_silent_server() {
    let silent = serve(never_reply);
    let ran = greet(&silent, &["--timeout=5s", "health", "--watch", "--wait=300ms"]);
    assert_eq!((ran.stdout.ends_with(" UNREACHABLE\n"), ran.code), (true, Some(3)), "{ran:?}");
    assert!(ran.stderr.contains("sent no SETTINGS within"), "{ran:?}");
}
