//! Hostile clients, each beside a well-behaved one that must not be affected. Each test also fixes
//! the response to the attack: a stream reset, a GOAWAY with its error code, or back pressure.

use std::time::{Duration, Instant};

use greet_server::CloseReason;
use greet_testkit::http2::{
    CANCEL, CONTINUATION, DATA, DEFAULT_WINDOW, END_HEADERS, END_STREAM, GOAWAY, HEADERS,
    INITIAL_WINDOW_SIZE, MAX_WINDOW, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    call_headers, frame, settings,
};
use greet_testkit::probe::{ProbeRequest, Script};
use greet_testkit::{Client, ECHO, RawPeer, ScriptedProbe, TestServer, WAIT, closed, with_timeout};
use prost::Message as _;
use tokio::io::AsyncReadExt as _;

/// A frame type that no extension has.
const UNKNOWN_TYPE: u8 = 0xfa;

const PROTOCOL_ERROR: u8 = 1;
const FLOW_CONTROL_ERROR: u8 = 3;
const FRAME_SIZE_ERROR: u8 = 6;
const REFUSED_STREAM: u8 = 7;
const ENHANCE_YOUR_CALM: u8 = 11;

/// Starts a server with a well-behaved client and a hostile peer.
async fn setup(flags: &[&str]) -> (TestServer, Client, RawPeer) {
    let server = TestServer::start(flags);
    let good = server.connect().await;
    assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
    let peer = RawPeer::connect(server.tcp().await).await;
    (server, good, peer)
}

/// Sends `bytes` and expects a GOAWAY with `code`, while the well-behaved client is served.
async fn assert_goaway(bytes: &[u8], code: u8) {
    let (server, good, mut peer) = setup(&[]).await;
    peer.send(bytes).await;
    let goaway = peer.next_of(GOAWAY).await;
    let debug = String::from_utf8_lossy(&goaway.payload[8..]).into_owned();
    assert_eq!(goaway.payload[4..8], [0, 0, 0, code], "{debug}");
    assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::ProtocolError), 1);
}

/// Encodes the headers of a call whose message never arrives.
fn headers_of_call(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &call_headers(ECHO))
}

#[tokio::test]
async fn continuation_flood_is_enhance_your_calm() {
    let block = call_headers(ECHO);
    let mut flood = frame(HEADERS, 0, 1, &block);
    for _ in 0..100 {
        flood.extend(frame(CONTINUATION, 0, 1, &[]));
    }
    assert_goaway(&flood, ENHANCE_YOUR_CALM).await;
}

/// RUSTSEC-2026-0258: each empty frame costs a task switch.
#[tokio::test]
async fn empty_data_flood_is_enhance_your_calm() {
    let mut flood = headers_of_call(1);
    for _ in 0..200 {
        flood.extend(frame(DATA, 0, 1, &[]));
    }
    assert_goaway(&flood, ENHANCE_YOUR_CALM).await;
}

/// A message in one-byte frames is only slow: the call ends at its deadline and the connection
/// stays usable.
#[tokio::test]
async fn trickled_message_ends_at_its_deadline() {
    let (server, good, mut peer) = setup(&["--request-timeout=300ms"]).await;
    let started = Instant::now();
    peer.send(&headers_of_call(1)).await;
    peer.send(&frame(DATA, 0, 1, &[0, 0, 0, 0x3f, 0xff])).await; // announces 16383 bytes
    while started.elapsed() < Duration::from_millis(250) {
        peer.send(&frame(DATA, 0, 1, &[0])).await;
        assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
    }
    let ended = peer.next_of(HEADERS).await;
    assert_eq!(
        (ended.stream, ended.flags & END_STREAM),
        (1, END_STREAM),
        "a status without a reply"
    );
    assert!(started.elapsed() >= Duration::from_millis(300));
    peer.call(3, ECHO, Some(b"")).await;
    assert_eq!(peer.next_of(DATA).await.stream, 3);
    drop(peer);
    assert_eq!(server.stop().await.cut, 0);
}

/// HPACK encodes a repeated header in one byte: a small block becomes a large header list.
#[tokio::test]
async fn header_bomb_is_enhance_your_calm() {
    let value = [&[0x7f, 0x81, 0x1e][..], &[b'x'; 4_000]].concat(); // length 127 + 3873
    let indexed = [&[0x40, 1, b'x'][..], &value].concat();
    let repeated = vec![0x80 | 62; 2_000]; // the newest entry of the dynamic table
    let block = [call_headers(ECHO), indexed, repeated].concat();
    assert_goaway(&frame(HEADERS, END_HEADERS, 1, &block), ENHANCE_YOUR_CALM).await;
}

#[tokio::test]
async fn frame_over_the_announced_size_is_a_frame_size_error() {
    let mut bytes = headers_of_call(1);
    bytes.extend(frame(DATA, 0, 1, &[0; 16_385]));
    assert_goaway(&bytes, FRAME_SIZE_ERROR).await;
}

#[tokio::test]
async fn zero_window_update_and_split_headers_are_protocol_errors() {
    let zero = frame(WINDOW_UPDATE, 0, 0, &[0; 4]);
    assert_goaway(&zero, PROTOCOL_ERROR).await;
    let split = [frame(HEADERS, 0, 1, &call_headers(ECHO)), frame(PING, 0, 0, &[0; 8])];
    assert_goaway(&split.concat(), PROTOCOL_ERROR).await;
}

/// "MadeYouReset" (CVE-2025-8671): invalid frames make the server reset the peer's calls. The increment is one
/// that h2 answers with RST_STREAM; 0 would be an error of the connection.
#[tokio::test]
async fn peer_that_provokes_resets_gets_goaway() {
    let (server, good, mut peer) = setup(&[]).await;
    let overflow = MAX_WINDOW.to_be_bytes();
    for call in 0..1_000 {
        let stream = 2 * call + 1;
        let invalid = frame(WINDOW_UPDATE, 0, stream, &overflow);
        if peer.try_send(&[headers_of_call(stream), invalid].concat()).await.is_err() {
            break;
        }
    }
    let mut resets = 0;
    let goaway = loop {
        match peer.next_frame().await {
            frame if frame.kind == RST_STREAM => {
                assert_eq!(frame.payload, [0, 0, 0, FLOW_CONTROL_ERROR]);
                resets += 1;
            }
            frame if frame.kind == GOAWAY => break frame,
            _ => {}
        }
    };
    assert!(resets >= 200, "{resets} resets");
    assert_eq!(goaway.payload[4..8], [0, 0, 0, ENHANCE_YOUR_CALM]);
    assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::AbandonedCalls), 1);
}

#[tokio::test]
async fn streams_over_the_limit_are_refused_and_the_rest_answered() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--max-streams=3"], &probe);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    for call in 0..3 {
        peer.call(2 * call + 1, ECHO, Some(WAIT)).await;
    }
    for call in 3..10 {
        // Without a message: DATA on a refused stream would be another violation.
        peer.send(&headers_of_call(2 * call + 1)).await;
    }
    let mut refused = Vec::new();
    while refused.len() < 7 {
        let reset = peer.next_of(RST_STREAM).await;
        assert_eq!(reset.payload, [0, 0, 0, REFUSED_STREAM]);
        refused.push(reset.stream);
    }
    assert_eq!(refused, [7, 9, 11, 13, 15, 17, 19]);
    probe.waits_begun(3).await;
    probe.release(3);
    for _ in 0..3 {
        peer.next_of(DATA).await;
    }
    drop(peer);
    assert_eq!(server.stop().await.answered, 3);
}

#[tokio::test]
async fn incomplete_header_block_ends_at_the_keepalive_timeout() {
    // The good client has to answer a PING in time, on a busy machine too.
    let flags = ["--keepalive-interval=100ms", "--keepalive-timeout=2s"];
    let (server, good, mut peer) = setup(&flags).await;
    peer.send(&frame(HEADERS, 0, 1, &call_headers(ECHO))).await;
    let _ = with_timeout(peer.tcp.read_to_end(&mut Vec::new())).await;
    assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::KeepaliveTimeout), 1);
}

/// h2 answers a PING and a SETTINGS, and visits every stream at a change of the window; the others
/// cost a poll of the connection.
#[tokio::test]
async fn control_frame_flood_is_enhance_your_calm() {
    let window = settings(&[INITIAL_WINDOW_SIZE, DEFAULT_WINDOW]);
    for (control_frame, weight) in [
        (frame(PING, 0, 0, &[0; 8]), 1),
        (window, 10),
        (frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()), 1),
        (frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]), 1),
        (frame(UNKNOWN_TYPE, 0, 0, b"unknown"), 1),
    ] {
        let (server, good, mut peer) = setup(&[]).await;
        let mut calls = 0;
        let mut call = async |peer: &mut RawPeer| {
            peer.call(2 * calls + 1, ECHO, Some(b"")).await;
            assert_eq!(peer.next_of(DATA).await.stream, 2 * calls + 1);
            calls += 1;
        };
        // The SETTINGS of the handshake counts 10.
        peer.send(&control_frame.repeat(990 / weight)).await;
        call(&mut peer).await;
        // Further ones of about 2 s, and those that the call allows, are not enough for these.
        peer.send(&control_frame.repeat(200 / weight)).await;
        assert_eq!(peer.next_of(GOAWAY).await.payload[4..8], [0, 0, 0, ENHANCE_YOUR_CALM]);
        assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
        drop(peer);
        assert_eq!(closed(&server.stop().await, CloseReason::ControlFrames), 1);
    }
}

/// PING and SETTINGS demand an acknowledgement. The server must not queue them for a peer that does
/// not read: it stops reading, or closes.
#[tokio::test]
async fn flood_of_unread_acknowledgements_is_closed() {
    for request in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let (server, good, mut peer) = setup(&[]).await;
        let flood = request.repeat(4_096);
        while peer.try_send(&flood).await.is_ok() {}
        assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
        drop(peer);
        assert_eq!(closed(&server.stop().await, CloseReason::ControlFrames), 1);
    }
}

/// Each costs the decoding of a header list and a 431, and h2 does not count them.
#[tokio::test]
async fn flood_of_rejected_requests_is_enhance_your_calm() {
    // Three references to a header of 4 KB in the dynamic table.
    let value = [&[0x7f, 0x81, 0x1e][..], &[b'x'; 127 + 1 + 30 * 128]].concat();
    let indexed = [&[0x40, 1, b'x'][..], &value].concat();
    let reference = 0x80 | 62;
    let rejected = |requests: std::ops::Range<u32>| -> Vec<u8> {
        let block = [call_headers(ECHO), vec![reference; 3]].concat();
        let request = |request| frame(HEADERS, END_HEADERS | END_STREAM, 2 * request + 1, &block);
        requests.flat_map(request).collect()
    };
    let (server, good, mut peer) = setup(&[]).await;
    let first = [call_headers(ECHO), indexed].concat();
    peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &first)).await;
    peer.send(&rejected(1..1_000)).await;
    peer.call(2_001, ECHO, Some(b"")).await;
    assert_eq!(peer.next_of(DATA).await.stream, 2_001);
    // More than are forgiven in the meantime, one every 150 ms.
    peer.send(&rejected(1_001..1_100)).await;
    assert_eq!(peer.next_of(GOAWAY).await.payload[4..8], [0, 0, 0, ENHANCE_YOUR_CALM]);
    assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::RejectedRequests), 1);
}

/// A client that reads a large stream sends WINDOW_UPDATEs for it.
#[tokio::test]
async fn client_that_reads_much_may_send_many_window_updates() {
    const REPLY_BYTES: u32 = 1_000_000;
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[], &probe);
    let mut peer = RawPeer::slow(server.address()).await;
    let request = ProbeRequest::new(Script::Large, "", REPLY_BYTES).encode_to_vec();
    for call in 0..5 {
        peer.call(2 * call + 1, ECHO, Some(&request)).await;
        let mut received = 0;
        while received < REPLY_BYTES as usize {
            received += peer.next_of(DATA).await.payload.len();
        }
    }
    peer.send(&frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()).repeat(4_000)).await;
    peer.call(101, ECHO, Some(b"")).await;
    while peer.next_of(DATA).await.stream != 101 {}
}

/// A Watch has no deadline, but a peer that takes none of its messages ends it.
#[tokio::test]
async fn watch_without_a_window_is_reset_after_twenty_seconds() {
    let server = TestServer::start(&[]);
    let mut peer = RawPeer::with_settings(server.tcp().await, &[INITIAL_WINDOW_SIZE, 0]).await;
    peer.call(1, "/grpc.health.v1.Health/Watch", Some(b"")).await;
    peer.next_of(HEADERS).await;
    let started = Instant::now();
    let reset = loop {
        // Longer than `TEST_TIMEOUT`, which is as long as the time without progress.
        let frame = peer.next_frame_within(Duration::from_secs(30)).await;
        if frame.kind == RST_STREAM {
            break frame;
        }
    };
    assert_eq!((reset.stream, &reset.payload[..]), (1, &CANCEL[..]));
    assert!((18..25).contains(&(started.elapsed()).as_secs()));
    drop(peer);
    let report = server.stop().await;
    assert_eq!((report.abandoned, report.cut), (1, 0));
}

#[tokio::test]
async fn silent_connections_are_closed_at_the_handshake_timeout() {
    const CONNECTIONS: u64 = 300;
    let (server, good, peer) = setup(&["--handshake-timeout=1s"]).await;
    drop(peer);
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(server.tcp().await);
    }
    assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
    for silent in &mut connections {
        let read = with_timeout(silent.read(&mut [0])).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
    assert_eq!(closed(&server.stop().await, CloseReason::HandshakeTimeout), CONNECTIONS);
}
