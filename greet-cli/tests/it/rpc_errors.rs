//! Exit code 64 + n, stage rpc: the call was sent, and this is what came of it.

use crate::support::error_snapshot::fails;
use crate::support::fake_server::{
    END_STREAM, RST_STREAM, answer, data, frame, head, headers, lose, trailers,
};
use crate::support::{Daemon, Scripted, greet, serve};

const OK: [(&str, &str); 1] = [("grpc-status", "0")];
const ADA: &[u8] = b"\x0a\x09Hello Ada";

/// A server that answers with `frames`.
fn on(frames: &[Vec<u8>]) -> String {
    serve(answer(frames.concat()))
}

#[test]
fn hand_written_reply_is_accepted() {
    let address = on(&[head(), data(ADA), trailers(&OK)]);
    greet(&address, &["hello", "--name=Ada"]).left("Hello Ada\n", "", 0);
}

#[test]
fn trailers_only_reply_carries_status() {
    let only = [(":status", "200"), ("grpc-status", "9"), ("grpc-message", "not%20now")];
    fails("rpc_trailers_only", &on(&[headers(END_STREAM, &only)]), &[]);
}

#[test]
fn reply_without_status() {
    fails("rpc_no_status", &on(&[head(), data(ADA), trailers(&[("x-other", "1")])]), &[]);
}

#[test]
fn undecodable_message() {
    fails("rpc_undecodable", &on(&[head(), data(b"\xff"), trailers(&OK)]), &[]);
}

#[test]
fn unary_reply_must_have_one_message() {
    fails("rpc_no_message", &on(&[head(), trailers(&OK)]), &[]);
    fails("rpc_two_messages", &on(&[head(), data(ADA), data(ADA), trailers(&OK)]), &[]);
}

#[test]
fn http_reply_of_proxy_is_mapped_to_status() {
    let bad_gateway = [(":status", "502"), ("content-type", "text/html"), ("server", "nginx/1.26")];
    let page = frame(0, END_STREAM, 1, b"<html><title>upstream is gone</title></html>");
    fails("rpc_bad_gateway", &on(&[headers(0, &bad_gateway), page]), &[]);
    let wants = [(":status", "401"), ("www-authenticate", "Bearer realm=\"greeters\"")];
    fails("rpc_unauthorized", &on(&[headers(END_STREAM, &wants)]), &[]);
    let elsewhere = [(":status", "302"), ("location", "https://login.example/")];
    fails("rpc_redirect", &on(&[headers(END_STREAM, &elsewhere)]), &[]);
    fails("rpc_not_found", &on(&[headers(END_STREAM, &[(":status", "404")])]), &[]);
}

#[test]
fn nginx_requires_client_certificate() {
    let bad_request = [(":status", "400"), ("server", "nginx")];
    let page = b"<html><title>400 No required SSL certificate was sent</title></html>";
    fails("rpc_nginx_mtls", &on(&[headers(0, &bad_request), frame(0, END_STREAM, 1, page)]), &[]);
}

#[test]
fn header_list_over_limit_is_named() {
    let daemon = Daemon::start(&[]);
    fails(
        "rpc_headers_too_large",
        daemon.address(),
        &["-H", &format!("x: {}", "x".repeat(12_000))],
    );
}

#[test]
fn endless_error_page_is_cut_off() {
    let page = [(":status", "200"), ("content-type", "text/html")];
    fails("rpc_web_page", &on(&[headers(0, &page)]), &[]);
}

#[test]
fn reset_by_server() {
    fails("rpc_reset", &on(&[frame(RST_STREAM, 0, 1, &2_u32.to_be_bytes())]), &[]);
    let reset = |reason: u32| {
        greet(&on(&[frame(RST_STREAM, 0, 1, &reason.to_be_bytes())]), &["hello", "--name=Ada"]).code
    };
    assert_eq!(reset(8), Some(65), "CANCEL");
    assert_eq!(reset(11), Some(72), "ENHANCE_YOUR_CALM");
    assert_eq!(reset(12), Some(71), "INADEQUATE_SECURITY");
}

/// The request may have been executed: that is status UNAVAILABLE, and no longer exit code 3.
#[test]
fn connection_lost_after_request() {
    fails("rpc_lost", &serve(lose), &[]);
}

#[test]
fn deadline_exceeded_without_reply() {
    let daemon = Daemon::with_greeter(&[], Scripted);
    let address = daemon.address().to_owned();
    let timeout = ["hello", "--name=hang", "--timeout=300ms"];
    let ran = greet(&address, &timeout);
    assert_eq!(ran.code, Some(68));
    let line = ran.stderr.lines().next().unwrap();
    let where_the_time_went = ["no reply within 3", ": dns ", ", tcp ", ", http2 ", ", rpc "];
    assert!(where_the_time_went.iter().all(|part| line.contains(part)), "{line}");
    fails("rpc_deadline", &serve(answer(Vec::new())), &[]);
}

#[test]
fn malformed_status_message_keeps_status() {
    let broken = [("grpc-status", "14"), ("grpc-message", "100%25%FF%zz")];
    fails("rpc_bad_percent", &on(&[head(), trailers(&broken)]), &[]);
    let details = [("grpc-status", "3"), ("grpc-status-details-bin", "!!!")];
    fails("rpc_bad_details", &on(&[head(), trailers(&details)]), &[]);
}

#[test]
fn control_characters_from_server_are_escaped() {
    let message = [("grpc-status", "13"), ("grpc-message", "one%0Atwo%1B[31m")];
    let ran = greet(&on(&[head(), trailers(&message)]), &["hello", "--name=Ada"]);
    let line = "greet-cli: rpc: INTERNAL: one\\ntwo\\u{1b}[31m";
    assert_eq!((ran.stderr.lines().next(), ran.code), (Some(line), Some(77)));
}
