//! Exit code 3, stage tls: who is wrong, and what about it.

use crate::certs::{Ca, expired, for_clients_only, not_yet_valid};
use crate::failing::fails;
use crate::support::{Daemon, greet, listen_forever, say, serve, serve_tls, serve_tls_and_go};

const LOOPBACK: [&str; 2] = ["localhost", "127.0.0.1"];

fn https(address: &str) -> String {
    format!("https://{address}")
}

/// The case of a daemon with a certificate that has a fault, met by a client that trusts its CA.
#[track_caller]
fn fails_with(case: &str, names: &[&str], change: impl FnOnce(&mut rcgen::CertificateParams)) {
    let ca = Ca::new("Test CA");
    ca.sign("server", names, change);
    let address = serve_tls(ca.config("server", &[b"h2"]));
    fails(case, &https(&address), &[&ca.trusted()]);
}

#[test]
fn plaintext_greet_server_is_named() {
    let daemon = Daemon::start(&[]);
    fails("tls_plaintext_greet_server", &https(daemon.address()), &[]);
}

#[test]
fn server_that_sends_first_is_plaintext() {
    let address = serve(say(b"\0\0\0\x04\0\0\0\0\0"));
    fails("tls_plaintext_http2", &https(&address), &[]);
}

#[test]
fn plaintext_web_server_is_named() {
    let address = serve(say(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"));
    fails("tls_plaintext_http1", &https(&address), &[]);
}

#[test]
fn plaintext_of_other_protocol_is_quoted() {
    fails("tls_plaintext_other", &https(&serve(say(b"220 mail.example ESMTP\r\n"))), &[]);
}

#[test]
fn connection_closed_during_handshake() {
    fails("tls_closed", &https(&serve(say(b""))), &[]);
}

#[test]
fn handshake_timeout() {
    fails("tls_timeout", &https(&serve(listen_forever)), &[]);
}

#[test]
fn unknown_issuer() {
    let (ca, other) = (Ca::new("Test CA"), Ca::new("Another CA"));
    ca.sign("server", &LOOPBACK, |_| {});
    let address = serve_tls(ca.config("server", &[b"h2"]));
    fails("tls_unknown_issuer", &https(&address), &[&other.trusted()]);
    fails("tls_unknown_issuer", &https(&address), &[]); // nor does the system know it
}

#[test]
fn certificate_for_other_name() {
    fails_with("tls_wrong_name", &["greeter.example", "10.0.0.1"], |_| {});
}

#[test]
fn certificate_expired() {
    fails_with("tls_expired", &LOOPBACK, expired);
}

#[test]
fn certificate_not_yet_valid() {
    fails_with("tls_not_yet_valid", &LOOPBACK, not_yet_valid);
}

#[test]
fn certificate_not_for_servers() {
    fails_with("tls_bad_certificate", &LOOPBACK, for_clients_only);
}

#[test]
fn client_certificate_required() {
    let ca = Ca::new("Test CA");
    ca.sign("server", &LOOPBACK, |_| {});
    let flags = ca.of("server");
    let client_ca = format!("--tls-client-ca={}", ca.file("ca.pem"));
    let daemon = Daemon::start(&[&flags[0], &flags[1], &client_ca]);
    fails("tls_client_certificate_required", &daemon.target, &[&ca.trusted()]);
    let old = serve_tls(ca.old_config("server"));
    fails("tls_client_certificate_required", &https(&old), &[&ca.trusted()]);
}

#[test]
fn client_certificate_rejected() {
    let (ca, other) = (Ca::new("Test CA"), Ca::new("Another CA"));
    ca.sign("server", &LOOPBACK, |_| {});
    other.sign("client", &["client"], |_| {});
    let client_ca = format!("--tls-client-ca={}", ca.file("ca.pem"));
    let [cert, key] = ca.of("server");
    let daemon = Daemon::start(&[&cert, &key, &client_ca]);
    let [cert, key] = other.client("client");
    fails("tls_client_certificate_refused", &daemon.target, &[&ca.trusted(), &cert, &key]);
}

#[test]
fn no_http2_over_tls() {
    let ca = Ca::new("Test CA");
    ca.sign("server", &LOOPBACK, |_| {});
    let none = serve_tls(ca.config("server", &[]));
    fails("tls_no_protocol", &https(&none), &[&ca.trusted()]);
    let http1 = serve_tls(ca.config("server", &[b"http/1.1"]));
    fails("tls_protocol_refused", &https(&http1), &[&ca.trusted()]);
}

/// HAProxy, Node and others do not wait until their alert is read.
#[test]
fn alert_is_read_before_immediate_close() {
    let (ca, other) = (Ca::new("Test CA"), Ca::new("Another CA"));
    ca.sign("server", &LOOPBACK, |_| {});
    other.sign("client", &["client"], |_| {});
    let address = serve_tls_and_go(ca.mtls_config("server", &rustls::version::TLS13));
    let [cert, key] = other.client("client");
    for _ in 0..10 {
        let ran = greet(&https(&address), &[&ca.trusted(), "hello", "--name=Ada"]);
        assert!(ran.stderr.contains(" requires a client certificate\n"), "{ran:?}");
        let identity = [&ca.trusted(), &cert, &key, "hello", "--name=Ada"];
        let ran = greet(&https(&address), &identity);
        assert!(ran.stderr.contains(" rejected the client certificate: UnknownCA\n"), "{ran:?}");
    }
}

#[test]
fn certificate_from_before_1970_is_read() {
    let ca = Ca::new("Test CA");
    ca.sign("server", &LOOPBACK, |params| {
        params.not_before = rcgen::date_time_ymd(1960, 1, 1);
        params.not_after = rcgen::date_time_ymd(1961, 1, 1);
    });
    let address = serve_tls(ca.config("server", &[b"h2"]));
    for verb in [&["hello", "--name=Ada"][..], &["diagnose"]] {
        let ran = greet(&https(&address), &[&[ca.trusted().as_str()], verb].concat());
        assert_eq!(ran.code, Some(3), "{ran:?}");
    }
}

/// An alert as a server sends it: a record of two bytes, fatal.
fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

#[test]
fn alert_determines_error() {
    fails("tls_unknown_name", &https(&serve(say(alert(112)))), &["--server-name=nobody.example"]);
    fails("tls_protocol_version", &https(&serve(say(alert(70)))), &[]);
}

#[test]
fn broken_tls_record() {
    fails("tls_broken", &https(&serve(say(b"\x16\x03\x03\0\x04\xff\xff\xff\xff"))), &[]);
}

#[test]
fn expired_certificate_error_names_dates() {
    let ca = Ca::new("Test CA");
    ca.sign("server", &LOOPBACK, expired);
    let address = serve_tls(ca.config("server", &[b"h2"]));
    let ran = greet(&https(&address), &[&ca.trusted(), "hello", "--name=Ada"]);
    assert!(ran.stderr.contains(" (CN=server) expired on 2021-01-01T00:00:00Z, "), "{ran:?}");
}
