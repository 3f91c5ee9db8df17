//! `health` prints the serving status and has an exit code for it.

use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use greet_proto::grpc::health::v1::{HealthCheckResponse, HealthListResponse};
use prost::Message as _;
use serde_json::json;

use crate::support::fake_server::{
    OK, answer, data, never_reply, reply_headers, serve, trailers, trailers_only,
};
use crate::support::service::SERVICE;
use crate::support::{
    Daemon, Running, assert_timing, cli, command, parse_object, spawn, unused_address,
};

/// Returns the lines of `health --all`, each with this end.
fn rows(end: &str) -> String {
    let columns = SERVICE.len();
    format!("{:<columns$}{end}\n{SERVICE}{end}\n", "(server)")
}

#[test]
fn serving_server_is_serving() {
    let daemon = Daemon::start(&[]);
    cli(&daemon.target, &["health"]).assert("SERVING\n", "", 0);
    cli(&daemon.target, &["health", "--service", SERVICE]).assert("SERVING\n", "", 0);
}

#[test]
fn unknown_service_is_not_found() {
    let daemon = Daemon::start(&[]);
    cli(&daemon.target, &["health", "--service", "no.Such"]).assert(
        "",
        "greet-cli: rpc: NOT_FOUND: unknown service\n\n\
         hint: the server does not know this name: check its spelling and case\n",
        69,
    );
}

#[test]
fn draining_server_is_not_serving() {
    let mut daemon = Daemon::start(&["--drain-delay=1m"]);
    daemon.drain_until_not_serving();
    cli(&daemon.target, &["health"]).assert("NOT_SERVING\n", "", 4);
}

#[test]
fn health_in_json_is_one_object() {
    let daemon = Daemon::start(&[]);
    let mut object = cli(&daemon.target, &["--output=json", "health"]).object();
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
    let ran = cli(&unused_address(), &["--output=json", "health"]);
    assert_eq!(ran.code, Some(3));
    assert_eq!((&ran.object()["ok"], &ran.object()["serving"]), (&json!(false), &json!(null)));
}

#[test]
fn silent_server_is_not_connected() {
    let ran = cli(&serve(never_reply), &["--timeout=50ms", "health"]);
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
    daemon.stop();
    let _restarted = Daemon::start(&["--listen", &address]);
    assert_eq!(next_state(), "SERVING");
}

#[test]
fn watch_in_json_prints_one_object_per_change() {
    let mut daemon = Daemon::start(&["--drain-delay=1m", "--instance=blue"]);
    let mut watch = watch(&daemon.target, &["--output=json"]);
    let change = parse_object(&watch.read_line());
    assert_eq!((&change["serving"], change["time"].is_string()), (&json!("SERVING"), true));
    assert_timing(&change, &["dns", "tcp", "http2", "rpc"]);
    daemon.drain();
    let later = parse_object(&watch.read_line());
    assert_eq!(
        (&later["serving"], &later["timing_us"]["rpc"]),
        (&json!("NOT_SERVING"), &json!(null))
    );
    for change in [change, later] {
        assert_eq!(
            (&change["peer"], &change["instance"]),
            (&json!(daemon.address()), &json!("blue"))
        );
        assert_eq!(change["attempts"], 1);
    }
}

#[test]
fn verbose_watch_reports_stages_and_headers_of_change() {
    let daemon = Daemon::start(&[]);
    let ran = cli(&daemon.target, &["-v", "health", "--watch", "--wait=20s"]);
    for part in ["* tcp ", "> :path: /grpc.health.v1.Health/Watch\n", "* rpc "] {
        assert_eq!(ran.stderr.matches(part).count(), 1, "{part}: {ran:?}");
    }
    let ran = cli(&unused_address(), &["-v", "health", "--watch", "--wait=1ms"]);
    assert!(ran.stderr.starts_with("* dns ") && ran.stderr.contains("\n* tcp "), "{ran:?}");
}

#[test]
fn watch_with_wait_ends_at_serving() {
    let daemon = Daemon::start(&[]);
    let ran = cli(&daemon.target, &["health", "--watch", "--wait=20s"]);
    assert_eq!((ran.stdout.ends_with(" SERVING\n"), ran.code), (true, Some(0)), "{ran:?}");
    let ran = cli(&unused_address(), &["health", "--watch", "--wait=1s"]);
    assert_eq!((ran.stdout.ends_with(" UNREACHABLE\n"), ran.code), (true, Some(3)), "{ran:?}");
    let ran = cli(&daemon.target, &["health", "--watch", "--wait=1s", "--service=no.Such"]);
    assert_eq!((ran.stdout.ends_with(" SERVICE_UNKNOWN\n"), ran.code), (true, Some(4)), "{ran:?}");
}

#[test]
fn missing_health_service_is_named_once_and_ends_wait() {
    let missing = [("grpc-status", "12"), ("grpc-message", "unknown service")];
    let address = serve(answer(trailers_only(&missing)));
    for (flag, missing, instead) in [
        ("--wait=0s", "grpc.health.v1", "check it with call or diagnose"),
        ("--watch", "grpc.health.v1.Health/Watch", "use health without --watch"),
        ("--all", "grpc.health.v1.Health/List", "use health without --all"),
    ] {
        let lines = format!(
            "greet-cli: rpc: UNIMPLEMENTED: unknown service\n\n\
             hint: the server does not implement {missing}: {instead}\n"
        );
        cli(&address, &["health", flag]).assert("", &lines, 76);
        cli(&address, &["--wait=1h", "health", flag]).assert("", &lines, 76);
        let ran = cli(&address, &["--output=json", "health", flag]);
        assert_eq!(ran.object()["error"]["cause"], "UNIMPLEMENTED: unknown service");
    }
}

#[test]
fn every_service_is_listed_with_status() {
    let mut daemon = Daemon::start(&["--drain-delay=1m"]);
    let all = ["health", "--all"];
    cli(&daemon.target, &all).assert(&rows(" SERVING"), "", 0);
    let object = cli(&daemon.target, &["--output=json", "health", "--all"]).object();
    assert_eq!(object["services"], json!({"": "SERVING", SERVICE: "SERVING"}));
    daemon.drain_until_not_serving();
    let rows = rows(" NOT_SERVING");
    cli(&daemon.target, &all).assert(&rows, "", 4);
    let waiting = format!("greet-cli: waiting for {}: (server) NOT_SERVING\n", daemon.target);
    cli(&daemon.target, &["health", "--all", "--wait=1s"]).assert(&rows, &waiting, 4);
}

/// Starts a server that lists these services.
fn list_server(services: &[(&str, ServingStatus)]) -> String {
    let statuses = services.iter().map(|(name, status)| {
        ((*name).to_owned(), HealthCheckResponse { status: (*status).into() })
    });
    let list = HealthListResponse { statuses: statuses.collect() };
    let reply = [reply_headers(), data(&list.encode_to_vec()), trailers(&OK)];
    serve(answer(reply.concat()))
}

#[test]
fn list_is_sorted_escaped_and_exits_with_4_if_not_all_serving() {
    let long = "x".repeat(49);
    let services = [
        (long.as_str(), ServingStatus::Serving),
        ("b", ServingStatus::Unknown),
        ("a\u{1b}[2J", ServingStatus::Serving),
    ];
    let rows = format!("{:<48} SERVING\n{:<48} UNKNOWN\n{long} SERVING\n", "a\\u{1b}[2J", "b");
    cli(&list_server(&services), &["health", "--all"]).assert(&rows, "", 4);
    let ran = cli(&list_server(&services), &["--output=json", "health", "--all"]);
    assert_eq!((&ran.object()["ok"], ran.code), (&json!(false), Some(4)));
}

#[test]
fn empty_list_is_not_serving() {
    let address = list_server(&[]);
    let note = format!("greet-cli: http://{address}: the server lists no service\n");
    cli(&address, &["health", "--all"]).assert("", &note, 4);
}

#[test]
fn all_conflicts_with_service_and_watch() {
    for flag in ["--service=x", "--watch"] {
        let ran = cli(&unused_address(), &["health", "--all", flag]);
        assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(2)), "{ran:?}");
        assert!(ran.stderr.contains("cannot be used with"), "{ran:?}");
    }
}

#[test]
fn all_targets_are_checked() {
    let daemon = Daemon::start(&[]);
    let refusing = unused_address();
    let ran = cli(&format!("{},{refusing}", daemon.target), &["health"]);
    assert_eq!(ran.stdout, format!("SERVING {}\n", daemon.target));
    let line = format!("greet-cli: http://{refusing}: tcp: could not connect to {refusing}: ");
    assert!(ran.stderr.starts_with(&line), "{ran:?}");
    assert_eq!(ran.stderr.matches("hint: ").count(), 1, "{ran:?}");
    assert_eq!(ran.code, Some(3));
    let ran = cli(&format!("{},{refusing}", daemon.target), &["health", "--all"]);
    let suffix = &daemon.target;
    let rows = rows(&format!(" SERVING {suffix}"));
    assert_eq!((ran.stdout, ran.code), (rows, Some(3)));
    let ran = cli(&format!("{},{refusing}", daemon.target), &["health", "--watch"]);
    assert_eq!(ran.code, Some(2), "--watch has one target");
}

#[test]
fn watch_with_wait_ends_in_time_on_silent_server() {
    let silent = serve(never_reply);
    let ran = cli(&silent, &["--timeout=5s", "health", "--watch", "--wait=1s"]);
    assert_eq!((ran.stdout.ends_with(" UNREACHABLE\n"), ran.code), (true, Some(3)), "{ran:?}");
    assert!(ran.stderr.contains("sent no SETTINGS within"), "{ran:?}");
}
