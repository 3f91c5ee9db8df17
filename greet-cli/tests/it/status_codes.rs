//! Statuses of the server: an error with a hint, exit code 64 plus the status.

use std::time::Duration;

use serde_json::json;

use crate::support::{Daemon, greet};

#[test]
fn every_status_has_exit_code() {
    let daemon = Daemon::scripted();
    for code in 1..=16 {
        let ran = greet(&daemon.target, &["hello", "--name", &code.to_string()]);
        assert_eq!(ran.code, Some(64 + code));
        assert!(ran.stderr.starts_with("greet-cli: rpc: "), "{ran:?}");
        assert!(ran.stderr.contains(": as asked\n\nhint: "), "{ran:?}");
    }
}

#[test]
fn name_over_limit_error_states_limit() {
    let daemon = Daemon::start(&[]);
    greet(&daemon.target, &["hello", "--name", &"x".repeat(5_000)]).assert(
        "",
        "greet-cli: rpc: INVALID_ARGUMENT: name is 5000 bytes long; the limit is 4096 bytes\n  \
         BadRequest field=\"name\" description=\"is 5000 bytes long; the limit is 4096 bytes\"\n\n\
         hint: correct `name` and retry\n",
        67,
    );
}

#[test]
fn failure_in_json_is_one_object() {
    let daemon = Daemon::scripted();
    let ran = greet(&daemon.target, &["--output=json", "hello", "--name=5"]);
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(69)));
    let object = ran.object();
    assert_eq!(object["ok"], false);
    assert_eq!(object["message"], json!(null));
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
    let names = ["hello", "--name=a", "--name=5", "--name=b", "--name=3", "--name=c"];
    let ran = greet(&daemon.target, &names);
    assert_eq!((ran.stdout.as_str(), ran.code), ("Hello a\nHello b\nHello c\n", Some(69)));
    assert_eq!(ran.stderr.matches(": rpc: ").count(), 2);
}

#[test]
fn hanging_call_ends_with_deadline_exceeded() {
    let daemon = Daemon::scripted();
    let ran = greet(&daemon.target, &["--timeout=300ms", "hello", "--name=hang"]);
    let limits = Duration::from_millis(300)..Duration::from_millis(1_300);
    assert!(limits.contains(&ran.elapsed), "{ran:?}");
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(68)));
    assert!(ran.stderr.starts_with("greet-cli: rpc: DEADLINE_EXCEEDED: "), "{ran:?}");
    assert!(ran.stderr.contains("hint: raise --timeout"), "{ran:?}");
}
