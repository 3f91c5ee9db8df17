//! HTTP/2 handshake: an incomplete one is closed at its timeout and counted by its reason.

use std::time::{Duration, Instant};

use greet_server::{CloseReason, ShutdownReport};
use greet_testkit::http2::{DATA, GOAWAY, PREFACE, frame, settings};
use greet_testkit::{TestServer, closed, with_timeout};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The error code of GOAWAY.
const PROTOCOL_ERROR: u8 = 1;

/// Sends `bytes` and then nothing. The server must close without a byte, because the peer may still
/// complete its handshake.
async fn closed_silently_after(bytes: &[u8]) -> ShutdownReport {
    let (response, report) = response_to(bytes).await;
    assert_eq!(response, b"");
    report
}

/// Sends `bytes` and reads until the server has closed.
async fn response_to(bytes: &[u8]) -> (Vec<u8>, ShutdownReport) {
    let server = TestServer::start(&["--handshake-timeout=100ms"]);
    let good = server.connect().await;
    let mut tcp = server.tcp().await;
    tcp.write_all(bytes).await.unwrap();
    let mut response = Vec::new();
    let _ = with_timeout(tcp.read_to_end(&mut response)).await; // closed or reset
    drop(tcp);
    assert_eq!(good.echo("Ada").await.unwrap(), "Ada", "other clients");
    (response, server.stop().await)
}

#[tokio::test]
async fn silent_peer_is_closed_at_the_handshake_timeout() {
    let started = Instant::now();
    let report = closed_silently_after(b"").await;
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(closed(&report, CloseReason::HandshakeTimeout), 1);
}

#[tokio::test]
async fn incomplete_preface_is_closed_at_the_handshake_timeout() {
    let incomplete_settings = settings(&[1, 0]);
    for bytes in [&PREFACE[..10], PREFACE, &[PREFACE, &incomplete_settings[..10]].concat()] {
        let report = closed_silently_after(bytes).await;
        assert_eq!(closed(&report, CloseReason::HandshakeTimeout), 1);
    }
}

/// The timeout covers the whole handshake: a byte does not restart it.
#[tokio::test]
async fn trickled_preface_is_closed_at_the_handshake_timeout() {
    let server = TestServer::start(&["--handshake-timeout=500ms"]);
    let good = server.connect().await;
    let mut tcp = server.tcp().await;
    let started = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    for byte in PREFACE {
        pace.tick().await;
        if tcp.write_all(&[*byte]).await.is_err() {
            break;
        }
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(4), "{took:?}");
    assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
    assert_eq!(closed(&server.stop().await, CloseReason::HandshakeTimeout), 1);
}

#[tokio::test]
async fn other_protocol_gets_goaway_and_is_closed_at_once() {
    for bytes in [&b"\x16\x03\x01\x02\0\x01"[..], b"\0", b"get / http/1.1\r\n\r\n"] {
        let (response, report) = response_to(bytes).await;
        let goaway = frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, PROTOCOL_ERROR]);
        assert_eq!(response, [settings(&[]), goaway].concat());
        assert_eq!(closed(&report, CloseReason::NotHttp2), 1);
        assert_eq!(closed(&report, CloseReason::HandshakeTimeout), 0);
    }
}

#[tokio::test]
async fn http1_request_gets_505_with_an_explanation() {
    let server = TestServer::start(&[]);
    let mut tcp = server.tcp().await;
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let mut response = String::new();
    with_timeout(tcp.read_to_string(&mut response)).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 505 "), "{response}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{response}");
    assert!(body.contains("gRPC"), "{response}");
    drop(tcp);
    assert_eq!(closed(&server.stop().await, CloseReason::NotHttp2), 1);
}

#[tokio::test]
async fn data_on_stream_zero_is_a_protocol_error() {
    let server = TestServer::start(&[]);
    let mut tcp = server.tcp().await;
    let data_on_stream_zero = frame(DATA, 0, 0, &[]);
    tcp.write_all(&[PREFACE, &settings(&[]), &data_on_stream_zero].concat()).await.unwrap();
    let mut response = Vec::new();
    let _ = with_timeout(tcp.read_to_end(&mut response)).await; // closed or reset
    let goaway = response.windows(9).any(|header| header[..4] == [0, 0, 8, GOAWAY]);
    assert!(goaway, "{response:?}");
    assert_eq!(closed(&server.stop().await, CloseReason::ProtocolError), 1);
}
