//! Keepalive: unresponsive peers are closed; connections at their maximum age or idle time get a
//! GOAWAY and are cut after the grace period.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use greet_server::CloseReason;
use greet_testkit::http2::{
    ACK, DATA, END_HEADERS, EVERY_STREAM, GOAWAY, HEADERS, PING, WINDOW_UPDATE, call_headers,
    frame, header_block,
};
use greet_testkit::probe::Script;
use greet_testkit::{
    COLLECT, ECHO, EXPAND, RELAY, RawPeer, ScriptedProbe, TestServer, WAIT, closed, eventually,
    with_timeout,
};
use tokio::io::AsyncReadExt as _;
use tokio::time::{interval, timeout};
use tower_service::Service as _;

use crate::support::samples::{ADMIN, scrape_until};

/// Reads until the server has closed, and acknowledges nothing.
async fn server_closed(peer: &mut RawPeer) {
    let _ = with_timeout(peer.tcp.read_to_end(&mut Vec::new())).await; // closed or reset
}

#[tokio::test]
async fn only_the_peer_that_does_not_ack_a_ping_is_closed() {
    // The good client has to answer a PING in time, on a busy machine too.
    let flags = ["--keepalive-interval=100ms", "--keepalive-timeout=2s"];
    let server = TestServer::start(&flags);
    let good = server.connect().await;
    assert!(good.echo("Ada").await.is_ok());
    let started = Instant::now();
    let mut unresponsive = RawPeer::connect(server.tcp().await).await;
    unresponsive.next_of(PING).await;
    server_closed(&mut unresponsive).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
    assert_eq!(closed(&server.stop().await, CloseReason::KeepaliveTimeout), 1);
}

/// The peer is lost, whatever its calls were waiting for: none of them failed in the server.
#[tokio::test]
async fn calls_of_a_peer_that_does_not_ack_a_ping_are_cancelled() {
    let probe = ScriptedProbe::new();
    let flags = [ADMIN, "--keepalive-interval=100ms", "--keepalive-timeout=200ms"];
    let server = TestServer::with_probe(&flags, &probe);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let encoded = header_block(&[("grpc-encoding", "gzip")]);
    let calls = [
        (ECHO, &[][..], None),                 // no message
        (ECHO, &[][..], Some(&[0, 0, 0][..])), // a part of a message
        (ECHO, &encoded[..], None),
        (ECHO, &encoded[..], Some(&[0, 0, 0][..])),
        (COLLECT, &[][..], None),
        (RELAY, &[][..], Some(&[0, 0, 0][..])),
        (EXPAND, &[][..], None),
    ];
    for (stream, (path, headers, data)) in (1..).step_by(2).zip(calls) {
        let block = [&call_headers(path)[..], headers].concat();
        peer.send(&frame(HEADERS, END_HEADERS, stream, &block)).await;
        if let Some(data) = data {
            peer.send(&frame(DATA, 0, stream, data)).await;
        }
    }
    server_closed(&mut peer).await;
    let samples = scrape_until(&server, |samples| {
        samples.sum("grpc_server_call_duration_seconds_count") >= calls.len() as u64
    });
    let samples = samples.await;
    for (path, cancelled) in [(ECHO, 4), (COLLECT, 1), (RELAY, 1), (EXPAND, 1)] {
        assert_eq!(samples.calls(&path[1..], "CANCELLED"), cancelled, "{path}");
    }
}

#[tokio::test]
async fn peer_that_sends_within_the_interval_gets_no_ping() {
    let server = TestServer::start(&["--keepalive-interval=1s"]);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let started = Instant::now();
    let mut pause = interval(Duration::from_millis(100));
    while started.elapsed() < Duration::from_millis(2_500) {
        pause.tick().await;
        peer.send(&frame(PING, 0, 0, &[7; 8])).await;
        let answer = loop {
            let frame = peer.next_frame().await;
            if frame.kind == PING {
                break frame;
            }
        };
        assert_eq!((answer.flags, &answer.payload[..]), (ACK, &[7; 8][..]), "a PING of the server");
    }
    assert_eq!(closed(&server.stop().await, CloseReason::KeepaliveTimeout), 0);
}

/// Bytes of any frame prove that the peer is there, also those after a PING without an answer.
#[tokio::test]
async fn peer_that_sends_but_answers_no_ping_stays() {
    let flags = ["--keepalive-interval=200ms", "--keepalive-timeout=2s"];
    let server = TestServer::start(&flags);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    peer.next_of(PING).await;
    let started = Instant::now();
    let mut pause = interval(Duration::from_millis(400)); // longer than the interval
    while started.elapsed() < Duration::from_secs(3) {
        pause.tick().await;
        peer.send(&frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())).await;
    }
    peer.call(1, ECHO, Some(b"")).await;
    peer.next_of(DATA).await;
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::KeepaliveTimeout), 0);
}

/// The GOAWAY has a PING and a timeout of its own.
#[tokio::test]
async fn no_keepalive_follows_a_goaway() {
    let flags = [
        "--max-connection-age=100ms",
        "--max-connection-age-grace=1h",
        "--keepalive-interval=300ms",
        "--keepalive-timeout=300ms",
    ];
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&flags, &probe);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    peer.call(1, ECHO, Some(WAIT)).await;
    peer.next_of(GOAWAY).await;
    peer.pong().await;
    peer.next_of(GOAWAY).await;
    let silence = timeout(Duration::from_millis(1_500), peer.next_frame()).await;
    assert!(silence.is_err(), "{silence:?}");

    probe.release(1);
    peer.next_of(DATA).await;
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::MaxConnectionAge), 1);
}

#[tokio::test]
async fn connection_at_max_age_gets_goaway_and_its_calls_are_answered() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--max-connection-age=200ms"], &probe);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let mut client = server.connect().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.run(Script::Wait).await }
    });
    probe.waits_begun(1).await;
    assert!(peer.next_of(GOAWAY).await.payload.starts_with(&EVERY_STREAM));
    peer.pong().await;
    server_closed(&mut peer).await;

    probe.release(1);
    waiting.await.unwrap().unwrap();
    drop(peer);
    let is_closed = async || poll_fn(|context| client.poll_ready(context)).await.is_err();
    eventually("the second connection is closed", is_closed).await;
    let report = server.stop().await;
    assert_eq!(closed(&report, CloseReason::MaxConnectionAge), 2);
    assert_eq!((report.answered, report.cut), (1, 0));
}

#[tokio::test]
async fn connection_at_max_age_is_cut_after_its_grace() {
    let flags = ["--max-connection-age=100ms", "--max-connection-age-grace=200ms"];
    let server = TestServer::with_probe(&flags, &ScriptedProbe::new());
    let mut peer = RawPeer::connect(server.tcp().await).await;
    peer.call(1, ECHO, None).await; // without a message
    peer.next_of(GOAWAY).await;
    server_closed(&mut peer).await;
    let report = server.stop().await;
    assert_eq!(closed(&report, CloseReason::AgeGraceExceeded), 1);
    assert_eq!(report.abandoned, 1);
}

#[tokio::test]
async fn idle_connection_gets_goaway_and_a_busy_one_does_not() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--max-connection-idle=200ms"], &probe);
    let busy = server.connect().await;
    let waiting = tokio::spawn({
        let busy = busy.clone();
        async move { busy.run(Script::Wait).await }
    });
    probe.waits_begun(1).await;
    let started = Instant::now();
    let mut idle = RawPeer::connect(server.tcp().await).await;
    idle.next_of(GOAWAY).await;
    assert!(started.elapsed() >= Duration::from_millis(200));
    idle.pong().await;
    server_closed(&mut idle).await;

    probe.release(1);
    waiting.await.unwrap().unwrap();
    drop(idle);
    assert_eq!(closed(&server.stop().await, CloseReason::MaxConnectionIdle), 1);
}
