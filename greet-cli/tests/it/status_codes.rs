//! Statuses of the server: an error with a hint, exit code 64 plus the status.

use std::time::Duration;

use serde_json::json;

use crate::support::sample::{calls, lines, message};
use crate::support::{Daemon, cli};

#[test]
fn every_status_has_exit_code() {
    let daemon = Daemon::scripted();
    for code in 1..=16 {
        let ran = cli(&daemon.target, &calls(&[], &[&code.to_string()]));
        assert_eq!(ran.code, Some(64 + code));
        assert!(ran.stderr.starts_with("greet-cli: rpc: "), "{ran:?}");
        assert!(ran.stderr.contains(": as asked\n\nhint: "), "{ran:?}");
    }
}

#[test]
fn failure_in_json_is_one_object() {
    let daemon = Daemon::scripted();
    let ran = cli(&daemon.target, &calls(&["--output=json"], &["5"]));
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(69)));
    let object = ran.object();
    assert_eq!(object["ok"], false);
    assert_eq!(message(&object), &json!(null));
    assert_eq!(object["status"], json!({"code": 5, "name": "NOT_FOUND", "message": "as asked"}));
    assert_eq!(object["error"]["stage"], "rpc");
    assert_eq!(object["error"]["cause"], "NOT_FOUND: as asked");
    assert!(!object["error"]["hint"].as_str().unwrap().is_empty());
    let metadata = [&object["headers"], &object["trailers"]];
    assert!(metadata.iter().any(|map| map["x-why"] == "test"), "{object}");
}

#[test]
fn first_failure_of_many_calls_is_exit_code() {
    let daemon = Daemon::scripted();
    let ran = cli(&daemon.target, &calls(&[], &["a", "5", "b", "3", "c"]));
    assert_eq!((ran.stdout, ran.code), (lines(&["a", "b", "c"]), Some(69)));
    assert_eq!(ran.stderr.matches(": rpc: ").count(), 2);
}

#[test]
fn hanging_call_ends_with_deadline_exceeded() {
    let daemon = Daemon::scripted();
    let ran = cli(&daemon.target, &calls(&["--timeout=1s"], &["hang"]));
    let limits = Duration::from_secs(1)..Duration::from_secs(4);
    assert!(limits.contains(&ran.elapsed), "{ran:?}");
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(68)));
    assert!(ran.stderr.starts_with("greet-cli: rpc: DEADLINE_EXCEEDED: "), "{ran:?}");
    assert!(ran.stderr.contains("hint: raise --timeout"), "{ran:?}");
}
