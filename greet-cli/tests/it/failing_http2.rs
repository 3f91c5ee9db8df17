//! Exit code 3, stage http2: somebody is there, and it is no gRPC server that takes calls.

use crate::certs::Ca;
use crate::failing::fails;
use crate::raw::{GOAWAY, answer, frame};
use crate::support::{Daemon, greet, listen_forever, say, serve};

#[test]
fn greet_server_with_tls_is_named() {
    let ca = Ca::new("Test CA");
    ca.sign("server", &["localhost"], |_| {});
    let [cert, key] = ca.of("server");
    let daemon = Daemon::start(&[&cert, &key]);
    let address = daemon.target.strip_prefix("https://").unwrap();
    fails("http2_speaks_tls", address, &[]);
}

#[test]
fn web_server_that_requires_tls_is_named() {
    let page = b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n<html>\
        <head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>";
    fails("http2_speaks_tls", &serve(say(page)), &[]);
    let go = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    fails("http2_speaks_tls", &serve(say(go)), &[]);
}

#[test]
fn http1_server_is_named() {
    fails("http2_speaks_http1", &serve(say(b"HTTP/1.1 400 Bad Request\r\n\r\n")), &[]);
}

#[test]
fn error_page_of_proxy_is_quoted() {
    let page =
        b"HTTP/1.1 503 Service Unavailable\r\nserver: envoy\r\ncontent-type: text/html\r\n\r\n\
        <html><head><title>no healthy upstream</title></head></html>";
    fails("http2_error_page", &serve(say(page)), &[]);
}

#[test]
fn other_protocol_is_quoted() {
    fails("http2_something_else", &serve(say(b"SSH-2.0-OpenSSH_10.0\r\n")), &[]);
    let ran = greet(&serve(say(b"hi\r\n")), &["hello", "--name=Ada"]);
    assert!(ran.stderr.contains("it sent \"hi\""), "what is too short for a frame, too: {ran:?}");
}

#[test]
fn connection_closed_before_settings() {
    fails("http2_closed", &serve(say(b"")), &[]);
}

#[test]
fn goaway_before_settings() {
    let goaway = [&[0, 0, 0, 0, 0, 0, 0, 11][..], b"too many connections"].concat();
    fails("http2_goaway", &serve(say(frame(GOAWAY, 0, 0, &goaway))), &[]);
}

#[test]
fn no_settings_within_timeout() {
    let address = serve(listen_forever);
    fails("http2_no_settings", &address, &[]);
    fails("http2_no_settings", &address, &["--connect-timeout=300ms"]);
}

#[test]
fn every_connection_rejects_call() {
    // SETTINGS, then a GOAWAY that lets no stream live.
    fails("http2_no_call_taken", &serve(answer(frame(GOAWAY, 0, 0, &[0; 8]))), &[]);
}

#[test]
fn peer_is_reported_without_http2() {
    let address = serve(say(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let object = greet(&address, &["--output=json", "hello", "--name=Ada"]).object();
    assert_eq!(object["peer"], address);
}
