//! `hello` prints the reply, and with `--output json` all facts about the call.

use serde_json::json;

use crate::support::{Daemon, assert_timing, greet};

#[test]
fn only_reply_is_printed() {
    let daemon = Daemon::start(&[]);
    for name in ["Ada", "", "Zoë \u{1f600}", "-v"] {
        let ran = greet(&daemon.target, &["hello", "--name", name]);
        ran.assert(&format!("Hello {name}\n"), "", 0);
    }
    greet(daemon.address(), &["hello", "--name", "Ada"]).assert("Hello Ada\n", "", 0);
}

#[test]
fn names_are_greeted_in_order() {
    let daemon = Daemon::start(&[]);
    let names = ["hello", "--name", "a", "--name", "b", "--name", "a"];
    greet(&daemon.target, &names).assert("Hello a\nHello b\nHello a\n", "", 0);
}

#[cfg(unix)]
#[test]
fn unix_socket_is_target() {
    let directory = tempfile::tempdir().unwrap();
    let target = format!("unix:{}", directory.path().join("greet.sock").display());
    let _daemon = Daemon::start(&["--listen", &target]);
    let ran = greet(&target, &["hello", "--name", "Ada", "--output", "json"]);
    let object = ran.object();
    assert_eq!(object["message"], "Hello Ada");
    assert_eq!(object["peer"], target);
    assert_eq!(object["timing_us"]["dns"], json!(null));
}

#[test]
fn hello_in_json_is_one_object() {
    let daemon = Daemon::start(&["--instance=blue"]);
    let ran = greet(&daemon.target, &["hello", "--name", "Ada", "--output=json"]);
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(0)));
    let mut object = ran.object();
    assert_timing(&object, &["dns", "tcp", "http2", "rpc"]);
    assert_eq!(object["timing_us"]["tls"], json!(null));
    object["timing_us"].take();
    assert_eq!(
        object,
        json!({
            "schema": "greet.hello/v1", "ok": true, "name": "Ada", "message": "Hello Ada",
            "status": {"code": 0, "name": "OK", "message": ""},
            "target": daemon.target, "peer": daemon.address(), "instance": "blue",
            "headers": {"greet-instance": "blue"}, "trailers": {}, "attempts": 1,
            "timing_us": null, "error": null,
        })
    );
}

#[test]
fn second_call_reuses_connection() {
    let daemon = Daemon::start(&[]);
    let names = ["--output=json", "hello", "--name=a", "--name=b"];
    let objects = greet(&daemon.target, &names).objects();
    assert_eq!(objects.len(), 2);
    assert!(objects[0]["timing_us"]["tcp"].is_u64());
    assert_eq!(objects[1]["timing_us"]["tcp"], json!(null));
    assert_eq!(objects[1]["peer"], daemon.address());
}

#[test]
fn metadata_is_sent_and_received() {
    let daemon = Daemon::scripted();
    let headers = ["-H", "x-ascii: a: b", "--header=x-bin: AP8="];
    let ran =
        greet(&daemon.target, &[&headers[..], &["--output=json", "hello", "--name=Ada"]].concat());
    let object = ran.object();
    assert_eq!(object["headers"]["seen-x-ascii"], "a: b");
    assert_eq!(object["headers"]["seen-bin"], "AP8");
    let agent = concat!("greet-cli/", env!("CARGO_PKG_VERSION"));
    assert_eq!(object["headers"]["seen-user-agent"], agent);
}

#[test]
fn remaining_time_is_sent_as_grpc_timeout() {
    let daemon = Daemon::scripted();
    let ran = greet(&daemon.target, &["--timeout=2s", "--output=json", "hello", "--name=Ada"]);
    let sent = ran.object()["headers"]["seen-grpc-timeout"].as_str().unwrap().to_owned();
    let millis: u64 = sent.strip_suffix('m').unwrap().parse().unwrap();
    assert!((1_000..=2_000).contains(&millis), "{sent}");
}
