//! `--wait` keeps trying, says once what it waits for, and gives up in time.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Daemon, command, greet, nobody};

#[test]
fn wait_covers_late_server_start() {
    let address = nobody();
    let mut waiting = command(&["--target", &address, "--wait=20s", "hello", "--name=Ada"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(waiting.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(
        line,
        format!(
            "greet-cli: waiting for http://{address}: tcp: could not connect to {address}: \
             connection refused\n"
        )
    );
    let _daemon = Daemon::start(&["--listen", &address]);
    let output = waiting.wait_with_output().unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), &output.stdout[..]), ("", &b"Hello Ada\n"[..]));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn wait_ends_in_time_with_cause() {
    for verb in [&["hello", "--name=Ada"][..], &["health"]] {
        let begun = Instant::now();
        let ran = greet(&nobody(), &[&["--wait=300ms"], verb].concat());
        let took = Instant::now() - begun;
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_millis(1_300),
            "{took:?}"
        );
        assert_eq!(ran.code, Some(3));
        assert_eq!(ran.stderr.matches("waiting for").count(), 1);
        assert!(ran.stderr.contains("\n\nhint: "), "{ran:?}");
    }
}

#[test]
fn health_waits_for_serving() {
    let mut daemon = Daemon::start(&["--drain-delay=2s"]);
    daemon.drain_until_not_serving();
    let ran = greet(&daemon.target, &["--wait=200ms", "health"]);
    ran.left(
        "NOT_SERVING\n",
        &format!("greet-cli: waiting for {}: NOT_SERVING\n", daemon.target),
        4,
    );
}

#[test]
fn connection_made_while_waiting_is_reported_by_call() {
    let daemon = Daemon::start(&[]);
    let ran = greet(&daemon.target, &["--wait=1s", "--output=json", "hello", "--name=Ada"]);
    let timing = ran.object()["timing_us"].take();
    let took = |stage: &str| timing[stage].as_u64().unwrap_or_else(|| panic!("{stage}: {timing}"));
    assert!(took("tcp") + took("http2") + took("rpc") <= took("total"), "{timing}");
}
