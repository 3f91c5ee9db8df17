//! `call` with JSON, and the facts of a call that every command reports.

use serde_json::json;

use crate::support::fake_server::{OK, answer, data, reply_headers, serve, trailers};
use crate::support::sample::{CALL, MESSAGE, calls, message};
use crate::support::service::PATH;
use crate::support::{
    CommandOutput, Daemon, assert_timing, cli, command, parse_object, spawn, unused_address,
};

const CHECK: &str = "grpc.health.v1.Health/Check";
const SERVING: &str = "{\"status\":\"SERVING\"}\n";

/// Calls Check with each line as the request.
fn check_lines(target: &str, lines: &str, flags: &[&str]) -> CommandOutput {
    let arguments = [flags, &["--target", target, "call", CHECK, "--json-from=-"]].concat();
    spawn(command(&arguments)).finish_with(lines.as_bytes())
}

#[test]
fn reply_is_json_on_one_line() {
    let daemon = Daemon::start(&[]);
    for method in [CHECK, "/grpc.health.v1.Health/Check", "Health/Check", "Check"] {
        cli(&daemon.target, &["call", method]).assert(SERVING, "", 0);
    }
    let reply = format!("{{\"message\":\"{MESSAGE}\"}}\n");
    cli(&daemon.target, &["call", PATH, "--json={\"name\": \"Ada\"}"]).assert(&reply, "", 0);
    let ran = cli(&daemon.target, &["call", PATH, "--json={\"name\": \"a\\n\u{202e}\"}"]);
    assert!(ran.stdout.ends_with("a\\n\\u202e\"}\n"), "{ran:?}");
}

#[test]
fn call_in_json_is_one_object() {
    let daemon = Daemon::start(&["--instance=blue"]);
    let request = "--json={\"service\": \"\"}";
    let ran = cli(&daemon.target, &["call", "Check", request, "--output=json"]);
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(0)));
    let mut object = ran.object();
    assert_timing(&object, &["dns", "tcp", "http2", "rpc"]);
    object["timing_us"].take();
    assert_eq!(
        object,
        json!({
            "schema": "greet.call/v1", "ok": true, "method": CHECK,
            "request": {"service": ""}, "reply": {"status": "SERVING"},
            "status": {"code": 0, "name": "OK", "message": ""},
            "target": daemon.target, "peer": daemon.address(), "instance": "blue",
            "headers": {"greet-instance": "blue"}, "trailers": {}, "attempts": 1,
            "timing_us": null, "error": null,
        })
    );
    let ran = cli(&unused_address(), &["--output=json", "call", "Check"]);
    let object = ran.object();
    assert_eq!((&object["reply"], &object["request"]), (&json!(null), &json!({})));
    assert_eq!((&object["error"]["stage"], ran.code), (&json!("tcp"), Some(3)));
}

#[test]
fn failure_has_hint_and_exit_code_of_status() {
    let daemon = Daemon::start(&[]);
    cli(&daemon.target, &["call", "Check", "--json={\"service\": \"no.Such\"}"]).assert(
        "",
        "greet-cli: rpc: NOT_FOUND: unknown service\n\n\
         hint: the server does not know this name: check its spelling and case\n",
        69,
    );
    let undecodable = answer([reply_headers(), data(b"\xff"), trailers(&OK)].concat());
    let ran = cli(&serve(undecodable), &["call", "Check"]);
    assert!(ran.stderr.starts_with("greet-cli: rpc: INTERNAL: the reply cannot be"), "{ran:?}");
    assert!(ran.stderr.contains("\n\nhint: check that the server has the same .proto"), "{ran:?}");
}

#[test]
fn unusable_method_is_usage_error_with_names() {
    for (method, end) in [
        ("Chek", "is not a method; did you mean grpc.health.v1.Health/Check?\n"),
        (
            "Watch",
            "grpc.health.v1.Health/Watch is a streaming method; only unary methods can be called\n",
        ),
    ] {
        for command in ["call", "load", "diagnose"] {
            let ran = cli(&unused_address(), &[command, method]);
            assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(2)), "{ran:?}");
            assert!(ran.stderr.ends_with(end), "{ran:?}");
        }
    }
    for arguments in [&["call", "xyz"][..], &["call"]] {
        let ran = cli(&unused_address(), arguments);
        assert!(ran.stderr.contains("; the methods are ") && ran.stderr.contains(CHECK), "{ran:?}");
        assert_eq!((ran.stderr.lines().count(), ran.code), (1, Some(2)), "{ran:?}");
    }
}

/// A call of the unused address would be exit code 3.
#[test]
fn invalid_json_is_named_and_nothing_is_sent() {
    for (json, problem) in [
        ("{\"x\": 1}", "unrecognized field name 'x' at column 4"),
        ("{\"service\": 1}", "invalid type: integer `1`, expected a string at column 13"),
        ("{", "not valid JSON at column 1: EOF while parsing an object"),
    ] {
        let flag = format!("--json={json}");
        for command in
            [&["call", "Check", "--json={}"][..], &["load", "Check"], &["diagnose", "Check"]]
        {
            let ran = cli(&unused_address(), &[command, &[&flag]].concat());
            ran.assert("", &format!("greet-cli: --json: {problem}\n"), 2);
        }
    }
    let typed = cli("x:1", &["call", "Check", "{\"service\": \"a\"}"]);
    let line = "greet-cli: unexpected argument '{\"service\": \"a\"}' found; \
                did you mean --json '{\"service\": \"a\"}'?\n";
    typed.assert("", line, 2);
}

#[test]
fn lines_of_json_are_answered_in_order() {
    let daemon = Daemon::start(&[]);
    let known = "{\"service\": \"\"}\n";
    let lines = [known, "{\"service\": \"a\"}\n", known, "{\"x\": 1}\n", known].concat();
    let ran = check_lines(&daemon.target, &lines, &[]);
    ran.assert(
        &SERVING.repeat(3),
        "greet-cli: line 2: rpc: NOT_FOUND: unknown service\n\
         greet-cli: line 4: unrecognized field name 'x' at column 4\n\
         hint: the server does not know this name: check its spelling and case\n",
        69,
    );
    let ran = check_lines(&daemon.target, &known.repeat(2_000), &["--output=json"]);
    assert_eq!((ran.objects().len(), ran.code), (2_000, Some(0)));
    check_lines(&daemon.target, "[]\n", &[]).assert(
        "",
        "greet-cli: line 1: invalid type: sequence, expected a map\n",
        2,
    );
}

#[test]
fn repeated_requests_are_tallied() {
    let daemon = Daemon::start(&["--instance=blue"]);
    let flags = ["--output=json", "call", "Check", "--count=3", "--json={}"];
    let ran = cli(&daemon.target, &[&flags[..], &["--json={\"service\":\"a\"}"]].concat());
    let tally = parse_object(ran.stdout.lines().last().unwrap());
    assert_eq!((&tally["answered_by"], &tally["failed"]), (&json!({"blue": 3}), &json!(3)));
}

#[test]
fn load_and_diagnose_call_any_method() {
    let daemon = Daemon::start(&[]);
    let object = cli(&daemon.target, &["--output=json", "load", "Check", "--count=20"]).object();
    assert_eq!((&object["method"], &object["calls"]["ok"]), (&json!(CHECK), &json!(20)));
    let unknown = "{\"service\": \"a\"}\n{}\n";
    let load = ["--target", &daemon.target, "--output=json", "load", "Check", "--count=20"];
    let load = spawn(command(&[&load[..], &["--json-from=-"]].concat()));
    let by_status = &load.finish_with(unknown.as_bytes()).object()["calls"]["by_status"];
    assert_eq!(by_status, &json!({"OK": 10, "NOT_FOUND": 10}));

    let load = spawn(command(&["--target", &daemon.target, "load", "Check", "--json-from=-"]));
    load.finish_with(b"{}\n{\"x\": 1}\n").assert(
        "",
        "greet-cli: could not read `-`: line 2: unrecognized field name 'x' at column 4\n",
        2,
    );

    let object = cli(&daemon.target, &["--output=json", "diagnose", "Check"]).object();
    let details = &object["stages"][5]["details"];
    assert_eq!((&details["method"], &details["request"]), (&json!(CHECK), &json!({})));
    assert_eq!(details["reply"], json!({"status": "SERVING"}));
    let ran = cli(&daemon.target, &["diagnose", "Check"]);
    assert!(ran.stdout.ends_with("  {\"status\":\"SERVING\"}\n"), "{ran:?}");
    let name = format!("--json={{\"name\": \"{}\"}}", "x".repeat(300));
    let ran = cli(&daemon.target, &["diagnose", PATH, &name]);
    assert!(ran.stdout.ends_with("xxx…\n"), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn unix_socket_is_target() {
    let directory = tempfile::tempdir().unwrap();
    let target = format!("unix:{}", directory.path().join("server.sock").display());
    let _daemon = Daemon::start(&["--listen", &target]);
    let ran = cli(&target, &[CALL, &["--output", "json"]].concat());
    let object = ran.object();
    assert_eq!(message(&object), MESSAGE);
    assert_eq!(object["peer"], target);
    assert_eq!(object["timing_us"]["dns"], json!(null));
}

#[test]
fn second_call_reuses_connection() {
    let daemon = Daemon::start(&[]);
    let objects = cli(&daemon.target, &calls(&["--output=json"], &["a", "b"])).objects();
    assert_eq!(objects.len(), 2);
    assert!(objects[0]["timing_us"]["tcp"].is_u64());
    assert_eq!(objects[1]["timing_us"]["tcp"], json!(null));
    assert_eq!(objects[1]["peer"], daemon.address());
}

#[test]
fn metadata_is_sent_and_received() {
    let daemon = Daemon::scripted();
    let flags = ["-H", "x-ascii: a: b", "--header=x-bin: AP8=", "--output=json"];
    let ran = cli(&daemon.target, &[&flags[..], CALL].concat());
    let object = ran.object();
    assert_eq!(object["headers"]["seen-x-ascii"], "a: b");
    assert_eq!(object["headers"]["seen-bin"], "AP8");
    let agent = concat!("greet-cli/", env!("CARGO_PKG_VERSION"));
    assert_eq!(object["headers"]["seen-user-agent"], agent);
}

#[test]
fn remaining_time_is_sent_as_grpc_timeout() {
    let daemon = Daemon::scripted();
    let ran = cli(&daemon.target, &[&["--timeout=5s", "--output=json"], CALL].concat());
    let sent = ran.object()["headers"]["seen-grpc-timeout"].as_str().unwrap().to_owned();
    let millis: u64 = sent.strip_suffix('m').unwrap().parse().unwrap();
    assert!((1_000..=5_000).contains(&millis), "{sent}");
}
