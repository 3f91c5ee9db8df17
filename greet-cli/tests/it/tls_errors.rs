//! Errors of the stage tls, exit code 3.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};

use crate::support::certs::{Ca, LOOPBACK, expired, for_clients_only, not_yet_valid, tls_config};
use crate::support::error_snapshot::assert_error;
use crate::support::fake_server::{never_reply, reply, serve, serve_tls, serve_tls_then_close};
use crate::support::{Daemon, greet};

const H2: &[&[u8]] = &[b"h2"];

fn https(address: &str) -> String {
    format!("https://{address}")
}

/// Starts a TLS server and returns its URL.
fn tls_server(config: Arc<ServerConfig>) -> String {
    https(&serve_tls(config))
}

/// Compares the error of a client that trusts the CA of a server's faulty certificate.
#[track_caller]
fn assert_certificate_error(
    snapshot: &str,
    names: &[&str],
    change: impl FnOnce(&mut rcgen::CertificateParams),
) {
    let ca = Ca::new("Test CA");
    let server = ca.sign_with("server", names, change);
    let target = tls_server(tls_config(&server, H2));
    assert_error(snapshot, &target, &[&ca.ca_cert_flag()]);
}

#[test]
fn plaintext_greet_server_is_named() {
    let daemon = Daemon::start(&[]);
    assert_error("tls_plaintext_greet_server", &https(daemon.address()), &[]);
}

#[test]
fn server_that_sends_first_is_plaintext() {
    let address = serve(reply(b"\0\0\0\x04\0\0\0\0\0"));
    assert_error("tls_plaintext_http2", &https(&address), &[]);
}

#[test]
fn plaintext_web_server_is_named() {
    let address = serve(reply(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"));
    assert_error("tls_plaintext_http1", &https(&address), &[]);
}

#[test]
fn plaintext_of_other_protocol_is_quoted() {
    assert_error("tls_plaintext_other", &https(&serve(reply(b"220 mail.example ESMTP\r\n"))), &[]);
}

#[test]
fn connection_closed_during_handshake() {
    assert_error("tls_closed", &https(&serve(reply(b""))), &[]);
}

#[test]
fn handshake_timeout() {
    assert_error("tls_timeout", &https(&serve(never_reply)), &[]);
}

#[test]
fn unknown_issuer() {
    let (ca, other) = (Ca::new("Test CA"), Ca::new("Another CA"));
    let target = tls_server(tls_config(&ca.sign("server"), H2));
    assert_error("tls_unknown_issuer", &target, &[&other.ca_cert_flag()]);
    assert_error("tls_unknown_issuer", &target, &[]); // with the roots of the system
}

#[test]
fn certificate_for_other_name() {
    assert_certificate_error("tls_wrong_name", &["greeter.example", "10.0.0.1"], |_| {});
}

#[test]
fn certificate_expired() {
    assert_certificate_error("tls_expired", &LOOPBACK, expired);
}

#[test]
fn certificate_not_yet_valid() {
    assert_certificate_error("tls_not_yet_valid", &LOOPBACK, not_yet_valid);
}

#[test]
fn certificate_not_for_servers() {
    assert_certificate_error("tls_bad_certificate", &LOOPBACK, for_clients_only);
}

#[test]
fn client_certificate_required() {
    let ca = Ca::new("Test CA");
    let server = ca.sign("server");
    let daemon = Daemon::with_tls(&server, &[&ca.client_ca_flag()]);
    let tls12 = tls_server(ca.mtls_config(&server, &TLS12));
    for target in [&daemon.target, &tls12] {
        assert_error("tls_client_certificate_required", target, &[&ca.ca_cert_flag()]);
    }
}

#[test]
fn client_certificate_rejected() {
    let (ca, other) = (Ca::new("Test CA"), Ca::new("Another CA"));
    let daemon = Daemon::with_tls(&ca.sign("server"), &[&ca.client_ca_flag()]);
    let [cert, key] = other.sign("client").client_flags();
    let snapshot = "tls_client_certificate_rejected";
    assert_error(snapshot, &daemon.target, &[&ca.ca_cert_flag(), &cert, &key]);
}

#[test]
fn no_http2_over_tls() {
    let ca = Ca::new("Test CA");
    let server = ca.sign("server");
    let none = tls_server(tls_config(&server, &[]));
    assert_error("tls_no_alpn", &none, &[&ca.ca_cert_flag()]);
    let http1 = tls_server(tls_config(&server, &[b"http/1.1"]));
    assert_error("tls_no_common_protocol", &http1, &[&ca.ca_cert_flag()]);
}

/// HAProxy, Node and others close at once after an alert.
#[test]
fn alert_is_read_before_immediate_close() {
    let (ca, other) = (Ca::new("Test CA"), Ca::new("Another CA"));
    let address = serve_tls_then_close(ca.mtls_config(&ca.sign("server"), &TLS13));
    let [cert, key] = other.sign("client").client_flags();
    for _ in 0..10 {
        let ran = greet(&https(&address), &[&ca.ca_cert_flag(), "hello", "--name=Ada"]);
        assert!(ran.stderr.contains(" requires a client certificate\n"), "{ran:?}");
        let identity = [&ca.ca_cert_flag(), &cert, &key, "hello", "--name=Ada"];
        let ran = greet(&https(&address), &identity);
        assert!(ran.stderr.contains(" rejected the client certificate: UnknownCA\n"), "{ran:?}");
    }
}

#[test]
fn certificate_from_before_1970_is_read() {
    let ca = Ca::new("Test CA");
    let server = ca.sign_with("server", &LOOPBACK, |params| {
        params.not_before = rcgen::date_time_ymd(1960, 1, 1);
        params.not_after = rcgen::date_time_ymd(1961, 1, 1);
    });
    let target = tls_server(tls_config(&server, H2));
    for verb in [&["hello", "--name=Ada"][..], &["diagnose"]] {
        let ran = greet(&target, &[&[ca.ca_cert_flag().as_str()], verb].concat());
        assert_eq!(ran.code, Some(3), "{ran:?}");
    }
}

/// Encodes a fatal alert as a TLS record.
fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

#[test]
fn alert_determines_error() {
    assert_error(
        "tls_unknown_name",
        &https(&serve(reply(alert(112)))),
        &["--server-name=unknown.example"],
    );
    assert_error("tls_protocol_version", &https(&serve(reply(alert(70)))), &[]);
}

#[test]
fn broken_tls_record() {
    assert_error("tls_broken", &https(&serve(reply(b"\x16\x03\x03\0\x04\xff\xff\xff\xff"))), &[]);
}
