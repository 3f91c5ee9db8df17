//! Errors of the stages dns and tcp: no connection, exit code 3.

use crate::support::error_snapshot::assert_error;
use crate::support::sample::CALL;
#[cfg(target_os = "linux")]
use crate::support::silent_listener::SilentListener;
use crate::support::{cli, unused_address};

#[test]
fn unknown_host() {
    // The text of the resolver differs between systems.
    let ran = cli("no-such-host.invalid:1", CALL);
    assert_eq!(ran.code, Some(3));
    let line = "greet-cli: dns: could not look up no-such-host.invalid: ";
    assert!(ran.stderr.starts_with(line), "{ran:?}");
    assert!(ran.stderr.ends_with("\n\nhint: check the host name in --target\n"), "{ran:?}");
}

#[test]
fn unknown_zone_of_address() {
    assert_error("dns_unknown_zone", "[fe80::1%no-such-if]:1", &[]);
}

#[cfg(target_os = "linux")]
#[test]
fn link_local_address_without_zone() {
    assert_error("tcp_missing_zone", "[fe80::1]:1", &[]);
}

#[test]
fn connection_refused() {
    assert_error("tcp_refused", &unused_address(), &[]);
}

#[cfg(unix)]
#[test]
fn missing_unix_socket() {
    assert_error("tcp_missing_unix_socket", "unix:/no/such.sock", &[]);
}

/// TCP has no route to a multicast address.
#[cfg(target_os = "linux")]
#[test]
fn unreachable_network() {
    assert_error("tcp_unreachable", "224.0.0.1:50051", &[]);
}

#[cfg(target_os = "linux")]
#[test]
fn connect_timeout() {
    let silent = SilentListener::bind("127.0.0.1:0".parse().unwrap());
    assert_error("tcp_timeout", &silent.address.to_string(), &[]);
}
