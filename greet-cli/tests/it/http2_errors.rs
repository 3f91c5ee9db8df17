//! Errors of the stage http2: the server accepts no call, exit code 3.

use greet_testkit::certs::Ca;
use greet_testkit::http2::{GOAWAY, frame};
use serde_json::Value;

use crate::support::error_snapshot::assert_error;
use crate::support::fake_server::{allow_streams, answer, never_reply, reply, serve};
use crate::support::sample::{CALL, calls};
use crate::support::{Daemon, cli};

#[test]
fn greet_server_with_tls_is_named() {
    let daemon = Daemon::with_tls(&Ca::new("Test CA").sign_files("server"), &[]);
    assert_error("http2_server_expects_tls", daemon.address(), &[]);
}

#[test]
fn web_server_that_requires_tls_is_named() {
    let page = b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n<html>\
        <head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>";
    assert_error("http2_server_expects_tls", &serve(reply(page)), &[]);
    let go = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    assert_error("http2_server_expects_tls", &serve(reply(go)), &[]);
}

#[test]
fn http1_server_is_named() {
    assert_error("http2_http1_server", &serve(reply(b"HTTP/1.1 400 Bad Request\r\n\r\n")), &[]);
}

#[test]
fn error_page_of_proxy_is_quoted() {
    let page =
        b"HTTP/1.1 503 Service Unavailable\r\nserver: envoy\r\ncontent-type: text/html\r\n\r\n\
        <html><head><title>no healthy upstream</title></head></html>";
    assert_error("http2_error_page", &serve(reply(page)), &[]);
}

#[test]
fn other_protocol_is_quoted() {
    assert_error("http2_other_protocol", &serve(reply(b"SSH-2.0-OpenSSH_10.0\r\n")), &[]);
    let ran = cli(&serve(reply(b"hi\r\n")), CALL);
    assert!(ran.stderr.contains("it sent \"hi\""), "shorter than a frame header: {ran:?}");
}

#[test]
fn connection_closed_before_settings() {
    assert_error("http2_closed", &serve(reply(b"")), &[]);
}

#[test]
fn goaway_before_settings() {
    let goaway = [&[0, 0, 0, 0, 0, 0, 0, 11][..], b"too many connections"].concat();
    assert_error("http2_goaway", &serve(reply(frame(GOAWAY, 0, 0, &goaway))), &[]);
}

#[test]
fn no_settings_within_timeout() {
    let address = serve(never_reply);
    assert_error("http2_no_settings", &address, &[]);
    assert_error("http2_no_settings", &address, &["--connect-timeout=1s"]);
}

#[test]
fn every_connection_rejects_call() {
    // SETTINGS, then a GOAWAY that rejects every stream.
    assert_error("http2_call_rejected", &serve(answer(frame(GOAWAY, 0, 0, &[0; 8]))), &[]);
}

/// The call was never sent, so its deadline is not DEADLINE_EXCEEDED.
#[test]
fn server_that_allows_no_streams() {
    let address = serve(allow_streams(0));
    assert_error("http2_no_streams_allowed", &address, &[]);
    // A watch reports each change until the wait ends.
    let ran = cli(&address, &["--timeout=1s", "--wait=2s", "health", "--watch"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains(": its SETTINGS_MAX_CONCURRENT_STREAMS is 0\n"), "{ran:?}");
}

#[test]
fn call_over_limit_of_streams_was_not_sent() {
    let address = serve(allow_streams(1));
    let flags = ["--timeout=1s", "--output=json"];
    let ran = cli(&address, &calls(&flags, &["Ada", "Grace"]));
    let [first, second] = &ran.objects()[..] else { panic!("{ran:?}") };
    assert_eq!(first["status"]["name"], "DEADLINE_EXCEEDED");
    assert_eq!((&second["status"], &second["timing_us"]["rpc"]), (&Value::Null, &Value::Null));
    let cause = second["error"]["cause"].as_str().unwrap();
    assert!(cause.starts_with(&format!("no stream to {address} was free within ")), "{cause}");
    assert!(cause.ends_with(": its SETTINGS_MAX_CONCURRENT_STREAMS is 1"), "{cause}");
}

#[test]
fn peer_is_reported_without_http2() {
    let address = serve(reply(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let object = cli(&address, &[&["--output=json"][..], CALL].concat()).object();
    assert_eq!(object["peer"], address);
}
