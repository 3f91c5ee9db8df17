//! Peers that mean no good, each beside a good client that must not notice. What each of them gets is
//! part of the promise: a reset of its stream, a GOAWAY with a code that says why, or silence.

use std::time::{Duration, Instant};

use greet_server::CloseReason;
use greet_testkit::RawPeer;
use greet_testkit::http2::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE,
    PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, call_headers, frame,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::support::{Client, Faulty, SAY_HELLO, TestServer, closed, soon};

const PROTOCOL_ERROR: u8 = 1;
const FRAME_SIZE_ERROR: u8 = 6;
const REFUSED_STREAM: u8 = 7;
const ENHANCE_YOUR_CALM: u8 = 11;

/// A server, a good client that has been greeted, and a peer.
async fn scene(flags: &[&str]) -> (TestServer, Client, RawPeer) {
    let server = TestServer::start(flags).await;
    let good = server.connect().await;
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    let peer = RawPeer::connect(server.tcp().await).await;
    (server, good, peer)
}

/// The peer sends `bytes`, is told to go with `code`, and the good client goes on.
async fn is_told_to_go(bytes: &[u8], code: u8) {
    let (server, good, mut peer) = scene(&[]).await;
    peer.send(bytes).await;
    let goaway = peer.next_of(GOAWAY).await;
    let debug = String::from_utf8_lossy(&goaway.payload[8..]).into_owned();
    assert_eq!(goaway.payload[4..8], [0, 0, 0, code], "{debug}");
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::ProtocolError), 1);
}

/// The headers of a call on `stream`, whose message is still to come.
fn begun(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &call_headers(SAY_HELLO))
}

#[tokio::test]
async fn a_continuation_flood_is_told_to_calm_down() {
    let block = call_headers(SAY_HELLO);
    let mut flood = frame(HEADERS, 0, 1, &block);
    for _ in 0..100 {
        flood.extend(frame(CONTINUATION, 0, 1, &[]));
    }
    is_told_to_go(&flood, ENHANCE_YOUR_CALM).await;
}

/// RUSTSEC-2026-0258: frames that carry nothing and cost a task switch each.
#[tokio::test]
async fn a_flood_of_empty_data_is_told_to_calm_down() {
    let mut flood = begun(1);
    for _ in 0..200 {
        flood.extend(frame(DATA, 0, 1, &[]));
    }
    is_told_to_go(&flood, ENHANCE_YOUR_CALM).await;
}

/// A message a byte at a time is slow, and no more: it is waited for until its deadline, and the
/// connection goes on.
#[tokio::test]
async fn a_body_in_tiny_pieces_ends_at_its_deadline_and_costs_nobody_else_anything() {
    let (server, good, mut peer) = scene(&["--request-timeout=300ms"]).await;
    let begun_at = Instant::now();
    peer.send(&begun(1)).await;
    peer.send(&frame(DATA, 0, 1, &[0, 0, 0, 0xff, 0xff])).await; // 65535 bytes are to come
    while Instant::now() - begun_at < Duration::from_millis(250) {
        peer.send(&frame(DATA, 0, 1, &[0])).await;
        assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    }
    let ended = peer.next_of(HEADERS).await;
    assert_eq!((ended.stream, ended.flags & END_STREAM), (1, END_STREAM), "a status and no reply");
    assert!(Instant::now() - begun_at >= Duration::from_millis(300));
    peer.call(3, SAY_HELLO, Some(b"")).await;
    assert_eq!(peer.next_of(DATA).await.stream, 3);
    drop(peer);
    assert_eq!(server.stop().await.cut, 0);
}

/// HPACK lets a byte stand for a header that was sent once: a small block, a large list.
#[tokio::test]
async fn a_header_bomb_is_told_to_calm_down() {
    let value = [&[0x7f, 0x81, 0x1e][..], &[b'x'; 4_000]].concat(); // length 127 + 3873
    let indexed_once = [&[0x40, 1, b'x'][..], &value].concat();
    let and_again = vec![0x80 | 62; 2_000]; // the newest entry of the dynamic table
    let block = [call_headers(SAY_HELLO), indexed_once, and_again].concat();
    is_told_to_go(&frame(HEADERS, END_HEADERS, 1, &block), ENHANCE_YOUR_CALM).await;
}

#[tokio::test]
async fn a_frame_over_the_announced_size_is_a_frame_size_error() {
    let mut bytes = begun(1);
    bytes.extend(frame(DATA, 0, 1, &[0; 16_385]));
    is_told_to_go(&bytes, FRAME_SIZE_ERROR).await;
}

#[tokio::test]
async fn a_window_that_overflows_and_a_block_that_is_interrupted_are_protocol_errors() {
    let zero = frame(WINDOW_UPDATE, 0, 0, &[0; 4]);
    is_told_to_go(&zero, PROTOCOL_ERROR).await;
    let interrupted = [frame(HEADERS, 0, 1, &call_headers(SAY_HELLO)), frame(PING, 0, 0, &[0; 8])];
    is_told_to_go(&interrupted.concat(), PROTOCOL_ERROR).await;
}

/// "MadeYouReset" (CVE-2025-8671): the peer breaks the rules of its streams, and we do the resetting.
#[tokio::test]
async fn a_peer_that_makes_us_reset_its_streams_is_told_to_go() {
    let (server, good, mut peer) = scene(&[]).await;
    for call in 0..1_100 {
        let stream = 2 * call + 1;
        let broken = [begun(stream), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat();
        if peer.try_send(&broken).await.is_err() {
            break;
        }
    }
    peer.next_of(GOAWAY).await;
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    drop(peer);
    let outcome = server.stop().await;
    let ended = [CloseReason::ProtocolError, CloseReason::AbandonedCalls];
    assert_eq!(ended.map(|cause| closed(&outcome, cause)).iter().sum::<u64>(), 1, "{outcome:?}");
}

#[tokio::test]
async fn streams_over_the_limit_are_refused_and_the_others_answered() {
    let greeter = Faulty::new();
    let server = TestServer::with_greeter(&["--max-streams=3"], greeter.clone()).await;
    let mut peer = RawPeer::connect(server.tcp().await).await;
    for call in 0..3 {
        peer.call(2 * call + 1, SAY_HELLO, Some(b"\x0a\x04wait")).await;
    }
    for call in 3..10 {
        peer.send(&begun(2 * call + 1)).await; // with a message it would break another rule as well
    }
    let mut refused = Vec::new();
    while refused.len() < 7 {
        let reset = peer.next_of(RST_STREAM).await;
        assert_eq!(reset.payload, [0, 0, 0, REFUSED_STREAM]);
        refused.push(reset.stream);
    }
    assert_eq!(refused, [7, 9, 11, 13, 15, 17, 19]);
    greeter.has_begun(3).await;
    greeter.release.add_permits(3);
    for _ in 0..3 {
        peer.next_of(DATA).await;
    }
    drop(peer);
    assert_eq!(server.stop().await.answered, 3);
}

#[tokio::test]
async fn half_a_header_block_is_waited_for_no_longer_than_a_ping() {
    let flags = ["--keepalive-interval=100ms", "--keepalive-timeout=100ms"];
    let (server, good, mut peer) = scene(&flags).await;
    peer.send(&frame(HEADERS, 0, 1, &call_headers(SAY_HELLO))).await;
    let _ = soon(peer.tcp.read_to_end(&mut Vec::new())).await;
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::KeepaliveTimeout), 1);
}

/// What the server owes an answer to each of, it must not pile up for a peer that does not read: it
/// stops reading, and the flood stands in the peer's own memory.
#[tokio::test]
async fn floods_that_ask_for_answers_and_do_not_read_them_are_stopped_by_back_pressure() {
    const MOST_BYTES: usize = 64 * 1024 * 1024;
    for asking in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let (server, good, mut peer) = scene(&[]).await;
        let flood = asking.repeat(4_096);
        let mut sent = 0;
        let is_stopped = async {
            while let Ok(Ok(())) = timeout(Duration::from_secs(1), peer.tcp.write_all(&flood)).await
            {
                sent += flood.len();
                assert!(sent < MOST_BYTES, "the server reads on for ever");
            }
        };
        is_stopped.await;
        assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
        drop(peer);
        server.stop().await;
    }
}

/// A Watch may last for ever; but not for a peer that takes nothing of it.
#[tokio::test]
async fn a_watch_without_a_window_is_reset_after_twenty_seconds_without_progress() {
    let server = TestServer::start(&[]).await;
    let mut peer = RawPeer::with_settings(server.tcp().await, &[INITIAL_WINDOW_SIZE, 0]).await;
    peer.call(1, "/grpc.health.v1.Health/Watch", Some(b"")).await;
    peer.next_of(HEADERS).await;
    let begun = Instant::now();
    let reset = loop {
        // Longer than the patience of the other steps: this one is about the waiting.
        let frame = peer.next_frame_within(Duration::from_secs(30)).await;
        if frame.kind == RST_STREAM {
            break frame;
        }
    };
    assert_eq!((reset.stream, &reset.payload[..]), (1, &CANCEL[..]));
    assert!((18..25).contains(&(Instant::now() - begun).as_secs()));
    drop(peer);
    let outcome = server.stop().await;
    assert_eq!((outcome.abandoned, outcome.cut), (1, 0));
}

#[tokio::test]
async fn a_crowd_that_never_speaks_is_gone_in_time_and_nobody_notices_it() {
    const CROWD: u64 = 300;
    let (server, good, peer) = scene(&["--handshake-timeout=1s"]).await;
    drop(peer);
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(server.tcp().await);
    }
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    for silent in &mut crowd {
        assert!(matches!(soon(silent.read(&mut [0])).await, Ok(0) | Err(_)));
    }
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    assert_eq!(closed(&server.stop().await, CloseReason::HandshakeTimeout), CROWD);
}
