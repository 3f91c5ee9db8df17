//! `--wait`: retries until the server is ready, reports the reason once, and ends in time.

use std::time::Duration;

use crate::support::sample::{CALL, LINE};
use crate::support::{Daemon, assert_timing, cli, command, spawn, unused_address};

#[test]
fn wait_covers_late_server_start() {
    let address = unused_address();
    let flags = [&["--target", &address, "--wait=20s"][..], CALL].concat();
    let mut waiting = spawn(command(&flags));
    assert_eq!(
        waiting.read_stderr_line(),
        format!(
            "greet-cli: waiting for http://{address}: tcp: could not connect to {address}: \
             connection refused\n"
        )
    );
    let _daemon = Daemon::start(&["--listen", &address]);
    waiting.finish().assert(LINE, "", 0);
}

#[test]
fn wait_ends_in_time_with_cause() {
    for verb in [CALL, &["health"]] {
        let ran = cli(&unused_address(), &[&["--wait=1s"], verb].concat());
        let limits = Duration::from_secs(1)..Duration::from_secs(4);
        assert!(limits.contains(&ran.elapsed), "{ran:?}");
        assert_eq!(ran.code, Some(3));
        assert_eq!(ran.stderr.matches("waiting for").count(), 1);
        assert!(ran.stderr.contains("\n\nhint: "), "{ran:?}");
    }
}

#[test]
fn health_waits_for_serving() {
    let mut daemon = Daemon::start(&["--drain-delay=1m"]);
    daemon.drain_until_not_serving();
    let ran = cli(&daemon.target, &["--wait=1s", "health"]);
    ran.assert(
        "NOT_SERVING\n",
        &format!("greet-cli: waiting for {}: NOT_SERVING\n", daemon.target),
        4,
    );
}

#[test]
fn connection_made_while_waiting_is_reported_by_call() {
    let daemon = Daemon::start(&[]);
    let ran = cli(&daemon.target, &[&["--wait=20s", "--output=json"][..], CALL].concat());
    assert_timing(&ran.object(), &["tcp", "http2", "rpc"]);
}
