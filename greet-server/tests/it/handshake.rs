//! A connection that never becomes one is closed in time and counted by its cause.

use std::time::{Duration, Instant};

use greet_server::{CloseReason, ShutdownReport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{TestServer, closed, soon};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the server does with a peer that sends `bytes` and then nothing more.
async fn after(bytes: &[u8]) -> ShutdownReport {
    let (heard, outcome) = heard_after(bytes).await;
    assert_eq!(heard, b"", "nothing is said to a peer that may yet say hello");
    outcome
}

/// Also what the peer heard, who closes when the server does.
async fn heard_after(bytes: &[u8]) -> (Vec<u8>, ShutdownReport) {
    let server = TestServer::start(&["--handshake-timeout=100ms"]).await;
    let good = server.connect().await;
    let mut tcp = server.tcp().await;
    tcp.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    let _ = soon(tcp.read_to_end(&mut rest)).await; // a reset is an end too
    drop(tcp);
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada", "the good client goes on");
    (rest, server.stop().await)
}

#[tokio::test]
async fn a_peer_that_never_speaks_is_closed_at_the_handshake_timeout() {
    let begun = Instant::now();
    let outcome = after(b"").await;
    assert!(Instant::now() - begun >= Duration::from_millis(100));
    assert_eq!(closed(&outcome, CloseReason::HandshakeTimeout), 1);
}

#[tokio::test]
async fn a_preface_without_its_end_or_its_settings_is_closed_at_the_handshake_timeout() {
    for bytes in [&PREFACE[..10], PREFACE, &[PREFACE, b"\0\0\x06\x04\0\0\0\0\0\0"].concat()] {
        let outcome = after(bytes).await;
        assert_eq!(closed(&outcome, CloseReason::HandshakeTimeout), 1);
    }
}

/// The bound is on the whole of it: a byte now and then does not move it.
#[tokio::test]
async fn a_preface_a_byte_at_a_time_is_closed_at_the_handshake_timeout() {
    let server = TestServer::start(&["--handshake-timeout=200ms"]).await;
    let good = server.connect().await;
    let mut tcp = server.tcp().await;
    let begun = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    for byte in PREFACE {
        pace.tick().await;
        if tcp.write_all(&[*byte]).await.is_err() {
            break;
        }
    }
    let took = Instant::now() - begun;
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(1), "{took:?}");
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    assert_eq!(closed(&server.stop().await, CloseReason::HandshakeTimeout), 1);
}

#[tokio::test]
async fn what_is_not_http2_is_told_so_in_http2_and_closed_at_once() {
    for bytes in [&b"\x16\x03\x01\x02\0\x01"[..], b"\0", b"get / http/1.1\r\n\r\n"] {
        let (heard, outcome) = heard_after(bytes).await;
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        let goaway = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";
        assert_eq!(heard, [&settings[..], goaway].concat());
        assert_eq!(closed(&outcome, CloseReason::NotHttp2), 1);
        assert_eq!(closed(&outcome, CloseReason::HandshakeTimeout), 0);
    }
}

#[tokio::test]
async fn a_person_with_http_1_is_told_what_this_port_is() {
    let server = TestServer::start(&[]).await;
    let mut tcp = server.tcp().await;
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    soon(tcp.read_to_string(&mut reply)).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 505 "), "{reply}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{reply}");
    assert!(body.contains("gRPC"), "{reply}");
    drop(tcp);
    assert_eq!(closed(&server.stop().await, CloseReason::NotHttp2), 1);
}

#[tokio::test]
async fn a_frame_that_the_protocol_forbids_is_a_protocol_error() {
    let server = TestServer::start(&[]).await;
    let mut tcp = server.tcp().await;
    let data_on_stream_zero = b"\0\0\0\0\0\0\0\0\0";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    tcp.write_all(&[PREFACE, settings, data_on_stream_zero].concat()).await.unwrap();
    let mut said = Vec::new();
    let _ = soon(tcp.read_to_end(&mut said)).await;
    let goaway = said.windows(9).any(|frame| frame[..4] == [0, 0, 8, 7]);
    assert!(goaway, "{said:?}");
    assert_eq!(closed(&server.stop().await, CloseReason::ProtocolError), 1);
}
