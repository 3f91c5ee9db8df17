//! The facts of a call that every command reports.

use serde_json::json;

use crate::support::sample::{CALL, MESSAGE, calls, message};
use crate::support::{Daemon, cli};

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
    let ran = cli(&daemon.target, &[&["--timeout=2s", "--output=json"], CALL].concat());
    let sent = ran.object()["headers"]["seen-grpc-timeout"].as_str().unwrap().to_owned();
    let millis: u64 = sent.strip_suffix('m').unwrap().parse().unwrap();
    assert!((1_000..=2_000).contains(&millis), "{sent}");
}
