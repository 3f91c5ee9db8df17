//! A host with several addresses: the first that accepts a connection is used.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use crate::support::host_name::HostName;
use crate::support::{Daemon, run};

/// The deadline of a call; one silent address must use little of it.
const TIMEOUT: &str = "--timeout=20s";
/// RFC 8305 recommends 250 ms; a slow machine may add to it.
const ATTEMPT_DELAY_US: u64 = 250_000;
const MAX_CONNECT_US: u64 = 5_000_000;

fn daemon(address: IpAddr, port: u16) -> Daemon {
    Daemon::start(&[&format!("--listen={}", SocketAddr::new(address, port))])
}

/// Diagnoses the host and returns the finding of the stage tcp.
fn diagnosed_tcp(name: &HostName, port: u16) -> Value {
    let target = format!("http://{}:{port}", name.name);
    let ran = run(name.command(&["--target", &target, TIMEOUT, "--output=json", "diagnose"]));
    ran.object()["stages"][1].take()
}

#[cfg(target_os = "linux")]
#[test]
fn silent_address_delays_next_by_250_ms() {
    use crate::support::silent_listener::SilentListener;

    let Some((name, [silent, alive])) = HostName::new(["127.0.0.1", "127.0.0.2"]) else {
        return;
    };
    let port = name.free_port();
    let _silent = SilentListener::bind(SocketAddr::new(silent, port));
    let _daemon = daemon(alive, port);
    let tcp = diagnosed_tcp(&name, port);
    let time = tcp["time_us"].as_u64().unwrap();
    assert!((ATTEMPT_DELAY_US..MAX_CONNECT_US).contains(&time), "{tcp}");
    let tried = &tcp["details"]["tried"];
    assert_eq!(
        (&tried[0]["address"], &tried[1]["address"]),
        (&json!(SocketAddr::new(silent, port)), &json!(SocketAddr::new(alive, port)),)
    );
    assert!(tried[0]["problem"].as_str().unwrap().contains(": no answer within "), "{tcp}");
    assert_eq!(tried[1]["problem"], Value::Null);
    assert_eq!(tcp["details"]["peer"], tried[1]["address"]);
}

#[test]
fn first_address_that_accepts_is_only_attempt() {
    let Some((name, [first, second])) = HostName::new(["127.0.0.1", "127.0.0.2"]) else {
        return;
    };
    let port = name.free_port();
    let _daemons = [daemon(first, port), daemon(second, port)];
    let details = diagnosed_tcp(&name, port)["details"].take();
    let first = SocketAddr::new(first, port).to_string();
    assert_eq!(details["tried"], json!([{ "address": first, "problem": null }]));
}

#[test]
fn refusing_address_is_followed_at_once() {
    let Some((name, [refusing, alive])) = HostName::new(["127.0.0.1", "127.0.0.2"]) else {
        return;
    };
    let port = name.free_port();
    let _daemon = daemon(alive, port);
    let tcp = diagnosed_tcp(&name, port);
    let refusing = SocketAddr::new(refusing, port);
    let problem = format!("could not connect to {refusing}: connection refused");
    assert_eq!(
        tcp["details"]["tried"],
        json!([
            { "address": refusing, "problem": problem },
            { "address": SocketAddr::new(alive, port), "problem": null },
        ])
    );
    assert!(tcp["time_us"].as_u64().unwrap() < ATTEMPT_DELAY_US, "{tcp}");
}

#[cfg(target_os = "linux")]
#[test]
fn error_of_last_address_is_reported_if_none_accepts() {
    use crate::support::silent_listener::SilentListener;

    let Some((name, [silent, refusing])) = HostName::new(["127.0.0.1", "127.0.0.2"]) else {
        return;
    };
    let port = name.free_port();
    let _silent = SilentListener::bind(SocketAddr::new(silent, port));
    let target = format!("http://{}:{port}", name.name);
    let flags = ["--target", &target, "--timeout=1s", "--output=json", "diagnose"];
    let ran = run(name.command(&flags));
    let tcp = ran.object()["stages"][1].take();
    let refusing = SocketAddr::new(refusing, port);
    let cause = format!("could not connect to {refusing}: connection refused");
    assert_eq!((&tcp["error"]["cause"], ran.code), (&json!(cause), Some(3)));
    assert_eq!(tcp["details"]["tried"].as_array().unwrap().len(), 2, "{tcp}");
}
