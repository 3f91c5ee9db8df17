//! Errors of the stage rpc: the call was sent, exit code 64 plus its status.

use std::time::Duration;

use greet_testkit::http2::{END_STREAM, RST_STREAM, frame};

use crate::support::error_snapshot::assert_error;
use crate::support::fake_server::{
    OK, answer, close_after_request, data, headers, reply_headers, sample_message, sample_reply,
    serve, trailers, trailers_only,
};
use crate::support::sample::{CALL, LINE, calls};
use crate::support::{Daemon, cli};

/// Starts a server that answers with `frames`.
fn server(frames: &[Vec<u8>]) -> String {
    serve(answer(frames.concat()))
}

#[test]
fn reply_of_fake_server_is_accepted() {
    let address = server(&[sample_reply()]);
    cli(&address, CALL).assert(LINE, "", 0);
}

#[test]
fn trailers_only_reply_carries_status() {
    let only = trailers_only(&[("grpc-status", "9"), ("grpc-message", "not%20now")]);
    assert_error("rpc_trailers_only", &server(&[only]), &[]);
}

#[test]
fn reply_without_status() {
    assert_error(
        "rpc_no_status",
        &server(&[reply_headers(), sample_message(), trailers(&[("x-other", "1")])]),
        &[],
    );
}

#[test]
fn undecodable_message() {
    assert_error("rpc_undecodable", &server(&[reply_headers(), data(b"\xff"), trailers(&OK)]), &[]);
}

#[test]
fn unary_reply_must_have_one_message() {
    assert_error("rpc_no_message", &server(&[reply_headers(), trailers(&OK)]), &[]);
    assert_error(
        "rpc_two_messages",
        &server(&[reply_headers(), sample_message(), sample_message(), trailers(&OK)]),
        &[],
    );
}

#[test]
fn http_reply_of_proxy_is_mapped_to_status() {
    let bad_gateway = [(":status", "502"), ("content-type", "text/html"), ("server", "nginx/1.26")];
    let page = frame(0, END_STREAM, 1, b"<html><title>upstream is gone</title></html>");
    assert_error("rpc_bad_gateway", &server(&[headers(0, &bad_gateway), page]), &[]);
    let unauthorized = [(":status", "401"), ("www-authenticate", "Bearer realm=\"services\"")];
    assert_error("rpc_unauthorized", &server(&[headers(END_STREAM, &unauthorized)]), &[]);
    let redirect = [(":status", "302"), ("location", "https://login.example/")];
    assert_error("rpc_redirect", &server(&[headers(END_STREAM, &redirect)]), &[]);
    assert_error("rpc_not_found", &server(&[headers(END_STREAM, &[(":status", "404")])]), &[]);
}

#[test]
fn nginx_requires_client_certificate() {
    let bad_request = [(":status", "400"), ("server", "nginx")];
    let page = b"<html><title>400 No required SSL certificate was sent</title></html>";
    assert_error(
        "rpc_nginx_mtls",
        &server(&[headers(0, &bad_request), frame(0, END_STREAM, 1, page)]),
        &[],
    );
}

#[test]
fn header_list_over_limit_is_named() {
    let daemon = Daemon::start(&[]);
    assert_error(
        "rpc_headers_too_large",
        daemon.address(),
        &["-H", &format!("x: {}", "x".repeat(12_000))],
    );
}

#[test]
fn endless_error_page_is_cut_off() {
    let page = [(":status", "200"), ("content-type", "text/html")];
    assert_error("rpc_web_page", &server(&[headers(0, &page)]), &[]);
}

#[test]
fn reset_by_server() {
    assert_error("rpc_reset", &server(&[frame(RST_STREAM, 0, 1, &2_u32.to_be_bytes())]), &[]);
    for (name, error_code, exit_code) in
        [("CANCEL", 8_u32, 65), ("ENHANCE_YOUR_CALM", 11, 72), ("INADEQUATE_SECURITY", 12, 71)]
    {
        let reset = frame(RST_STREAM, 0, 1, &error_code.to_be_bytes());
        let ran = cli(&server(&[reset]), CALL);
        assert_eq!(ran.code, Some(exit_code), "{name}");
    }
}

/// The server may have executed the request, so the status is UNAVAILABLE and not exit code 3.
#[test]
fn connection_lost_after_request() {
    assert_error("rpc_connection_lost", &serve(close_after_request), &[]);
}

/// The peer never answers: a server that honours `grpc-timeout` may report the deadline first.
#[test]
fn deadline_exceeded_without_reply() {
    let ran = cli(&serve(answer(Vec::new())), &calls(&["--timeout=900ms"], &["Ada"]));
    assert_eq!(ran.code, Some(68));
    assert!(ran.elapsed >= Duration::from_millis(900), "{ran:?}");
    let line = ran.stderr.lines().next().unwrap();
    let parts = ["no reply within ", "ms: dns ", ", tcp ", ", http2 ", ", rpc "];
    assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    assert_error("rpc_deadline", &serve(answer(Vec::new())), &[]);
}

#[test]
fn malformed_status_message_keeps_status() {
    let broken = [("grpc-status", "14"), ("grpc-message", "100%25%FF%zz")];
    assert_error("rpc_bad_percent", &server(&[reply_headers(), trailers(&broken)]), &[]);
    let details = [("grpc-status", "3"), ("grpc-status-details-bin", "!!!")];
    assert_error("rpc_bad_details", &server(&[reply_headers(), trailers(&details)]), &[]);
}

#[test]
fn control_characters_from_server_are_escaped() {
    let message = [("grpc-status", "13"), ("grpc-message", "one%0Atwo%1B[31m")];
    let ran = cli(&server(&[reply_headers(), trailers(&message)]), CALL);
    let line = "greet-cli: rpc: INTERNAL: one\\ntwo\\u{1b}[31m";
    assert_eq!((ran.stderr.lines().next(), ran.code), (Some(line), Some(77)));
}
