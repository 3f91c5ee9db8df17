//! A dead target among several: calls use the others, and the dead one is reported once.

use serde_json::{Value, json};

use crate::support::host_name::HostName;
use crate::support::sample::{CALL, LINE};
use crate::support::{Daemon, cli, parse_object, unused_address};

/// Returns the line about a target that refuses connections.
fn line(address: &str) -> String {
    format!(
        "greet-cli: http://{address}: tcp: could not connect to {address}: connection refused\n"
    )
}

/// Asserts that these are the failures of one target, and returns their number.
#[track_caller]
fn failures(report: &Value, address: &str) -> u64 {
    let all = report.as_array().unwrap();
    assert_eq!(all.len(), 1, "{report}");
    assert_eq!(all[0]["target"], format!("http://{address}"));
    assert_eq!((&all[0]["address"], &all[0]["error"]["stage"]), (&json!(null), &json!("tcp")));
    all[0]["failures"].as_u64().unwrap()
}

#[test]
fn dead_target_is_reported_once_while_calls_succeed() {
    let (daemon, dead) = (Daemon::start(&[]), unused_address());
    let targets = format!("{dead},{}", daemon.target);
    cli(&targets, CALL).assert(LINE, &line(&dead), 0);
    cli(&targets, &[&["-q"][..], CALL].concat()).assert(LINE, "", 0);
    let ran = cli(&targets, &[CALL, &["--count=500", "--connections=3"]].concat());
    ran.assert(&LINE.repeat(500), &line(&dead), 0);
    let wait = cli(&targets, &[&["--wait=1s"][..], CALL].concat());
    assert_eq!((wait.stderr.matches(&line(&dead)).count(), wait.code), (1, Some(0)), "{wait:?}");
}

#[test]
fn dead_target_is_in_json() {
    let (daemon, dead) = (Daemon::start(&[]), unused_address());
    let targets = format!("{dead},{}", daemon.target);
    let ran = cli(&targets, &[&["--output=json"][..], CALL].concat());
    assert_eq!(ran.stderr, line(&dead));
    let object = ran.object();
    let attempt = &object["earlier_attempts"][0];
    assert_eq!(attempt["target"], format!("http://{dead}"));
    assert_eq!((&attempt["peer"], &attempt["error"]["stage"]), (&json!(null), &json!("tcp")));

    let ran = cli(&targets, &[&["--output=json"][..], CALL, &["--count=10"]].concat());
    let tally = parse_object(ran.stdout.lines().last().unwrap());
    // A slow machine takes longer than the pause after which the target is tried again.
    assert!(failures(&tally["connect_failures"], &dead) >= 1, "{tally}");
    assert_eq!(tally["failed"], json!(0));
}

#[test]
fn every_target_that_is_dead_is_reported() {
    let (first, second) = (unused_address(), unused_address());
    let ran = cli(&format!("{first},{second}"), CALL);
    let failure = format!("greet-cli: tcp: could not connect to {second}: connection refused\n");
    assert!(ran.stderr.starts_with(&failure), "{ran:?}");
    assert!(ran.stderr.ends_with(&line(&first)), "{ran:?}");
    assert_eq!((ran.stderr.lines().count(), ran.code), (4, Some(3)), "{ran:?}");
    let only = cli(&first, CALL);
    assert_eq!(only.stderr.lines().count(), 3, "the failure of the call says it: {only:?}");
}

#[test]
fn dead_address_of_name_is_reported() {
    let Some((name, [dead, alive])) = HostName::new(["127.0.0.1", "127.0.0.2"]) else {
        return;
    };
    let port = name.free_port();
    let _daemon = Daemon::start(&[&format!("--listen={alive}:{port}")]);
    let ran = name.run("dns", port, &[&["--output=json"][..], CALL, &["--count=10"]].concat());
    let target = name.target("dns", port);
    let cause = format!("could not connect to {dead}:{port}: connection refused");
    assert_eq!(ran.stderr, format!("greet-cli: {target}: tcp: {cause}\n"));
    let tally = parse_object(ran.stdout.lines().last().unwrap());
    let failure = &tally["connect_failures"][0];
    let address = json!(format!("{dead}:{port}"));
    assert_eq!((&failure["address"], &failure["error"]["cause"]), (&address, &json!(cause)));
}

#[test]
fn load_counts_failures_to_connect_by_target() {
    let (daemon, dead) = (Daemon::start(&[]), unused_address());
    let targets = format!("{dead},{}", daemon.target);
    let flags = ["load", "--count=200", "--threads=2", "--connections=4"];
    let ran = cli(&targets, &[&["--output=json"], &flags[..]].concat());
    assert_eq!((ran.stderr.as_str(), ran.code), (line(&dead).as_str(), Some(0)));
    let object = ran.object();
    assert!(failures(&object["connect_failures"], &dead) >= 2, "one for each thread: {object}");
    let ran = cli(&targets, &flags);
    assert_eq!(ran.stderr, line(&dead));
    assert!(ran.stdout.contains(&format!(" failed to http://{dead}\nbytes ")), "{ran:?}");
}

#[test]
fn calls_of_dead_target_are_shared_by_the_others() {
    let (one, other, dead) = (Daemon::start(&[]), Daemon::start(&[]), unused_address());
    let targets = format!("{dead},{},{}", one.target, other.target);
    let flags = ["--output=json", "load", "--count=300", "--threads=1"];
    let object = cli(&targets, &flags).object();
    let servers = object["by_target"].as_array().unwrap();
    let calls = |target: &str| {
        let server = servers.iter().find(|server| server["target"] == target).unwrap();
        server["ok"].as_u64().unwrap()
    };
    let calls = [calls(&one.target), calls(&other.target)];
    assert_eq!(calls.iter().sum::<u64>(), 300, "{object}");
    // Until the dead target is known to be dead, the one after it has two turns.
    assert!(calls.iter().all(|calls| *calls >= 130), "{object}");
}
