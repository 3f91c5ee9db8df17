//! Drain: every accepted call is answered, and no peer delays the shutdown beyond its limit.

use std::time::{Duration, Instant};

use greet_proto::grpc::health::v1::HealthCheckRequest;
use greet_server::CloseReason;
use greet_testkit::http2::{
    DATA, END_STREAM, EVERY_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING, PREFACE, SETTINGS,
    WINDOW_UPDATE, frame,
};
use greet_testkit::probe::{ProbeReply, Script};
use greet_testkit::{
    Client, ECHO, RawPeer, ScriptedProbe, TestServer, closed, eventually, with_timeout,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Status;

/// Starts a call whose reply waits for its release.
fn wait(client: &Client) -> JoinHandle<Result<ProbeReply, Status>> {
    let client = client.clone();
    tokio::spawn(async move { client.run(Script::Wait).await })
}

/// Waits until the listener is closed, which is the start of the drain.
async fn listener_closed(address: &str) {
    let is_refused = async || TcpStream::connect(address).await.is_err();
    eventually("the listener is closed", is_refused).await;
}

#[tokio::test]
async fn idle_server_stops_at_once() {
    let server = TestServer::start(&[]);
    let started = Instant::now();
    let report = server.stop().await;
    assert!(started.elapsed() < Duration::from_secs(4));
    assert_eq!((report.answered, report.cut, report.exit_code()), (0, 0, 0));
}

#[tokio::test]
async fn call_in_flight_is_answered_and_new_connections_are_refused() {
    let probe = ScriptedProbe::new();
    let mut server = TestServer::with_probe(&[], &probe);
    let address = server.address().to_owned();
    let client = server.connect().await;
    let waiting = wait(&client);
    probe.waits_begun(1).await;

    server.drain();
    listener_closed(&address).await;
    probe.release(1);
    waiting.await.unwrap().unwrap();
    let report = server.stop().await;
    assert_eq!((report.answered, report.cut, report.exit_code()), (1, 0, 0));
}

#[tokio::test]
async fn silent_peer_does_not_delay_the_drain() {
    let server = TestServer::start(&["--drain-timeout=1h"]);
    let _silent = server.tcp().await;
    let started = Instant::now();
    let report = server.stop().await;
    assert!(started.elapsed() < Duration::from_secs(4));
    assert_eq!(closed(&report, CloseReason::DrainedInHandshake), 1);
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test]
async fn handshake_completes_during_drain_and_gets_goaway() {
    let mut server = TestServer::start(&[]);
    let address = server.address().to_owned();
    let mut late = server.tcp().await;
    server.drain();
    listener_closed(&address).await;
    late.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let mut late = RawPeer { tcp: late };
    assert!(late.next_of(GOAWAY).await.payload.starts_with(&EVERY_STREAM));
    drop(late);
    let report = server.stop().await;
    assert_eq!(closed(&report, CloseReason::DrainedInHandshake), 0);
    assert_eq!(closed(&report, CloseReason::Panic), 0);
}

/// Closing a socket with unread bytes resets the peer. The reset discards what the peer has not
/// read yet: the last replies and the GOAWAY with the last stream identifier.
#[tokio::test]
async fn peer_that_does_not_close_is_read_for_a_second_after_fin() {
    let mut server = TestServer::start(&[]);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let started = Instant::now();
    server.drain();
    peer.pong().await;
    with_timeout(peer.tcp.read_to_end(&mut Vec::new())).await.unwrap();
    peer.send(&frame(PING, 0, 0, &[0; 8])).await;

    let report = server.stop().await;
    let took = started.elapsed();
    assert!((1..3).contains(&took.as_secs()), "{took:?}");
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test]
async fn drain_closes_peer_that_never_acks_after_five_seconds() {
    let server = TestServer::start(&["--drain-timeout=1h"]);
    let _silent_http2 = RawPeer::connect(server.tcp().await).await;
    let started = Instant::now();
    let report = server.stop().await;
    let took = started.elapsed();
    assert!((5..8).contains(&took.as_secs()), "{took:?}");
    assert_eq!(closed(&report, CloseReason::GoawayUnanswered), 1);
    assert_eq!(report.exit_code(), 0);
}

/// The two steps of a graceful shutdown (RFC 9113, section 6.8): a GOAWAY that refuses no stream,
/// so that requests in flight are accepted, and a PING whose acknowledgement ends that window.
#[tokio::test]
async fn drain_starts_with_a_goaway_that_refuses_no_stream() {
    let mut server = TestServer::start(&["--drain-timeout=1s"]);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    server.drain();
    assert!(peer.next_of(GOAWAY).await.payload.starts_with(&EVERY_STREAM));
    peer.next_of(PING).await;
}

/// A reply counts as answered when the kernel has it. A reply that HTTP/2 still buffers for a slow
/// peer does not count: exit code 0 means that no reply was lost.
#[tokio::test]
async fn reply_that_was_never_sent_counts_as_cut() {
    let server = TestServer::start(&["--drain-timeout=300ms"]);
    let mut peer = RawPeer::with_settings(server.tcp().await, &[INITIAL_WINDOW_SIZE, 10]).await;
    peer.call(1, ECHO, Some(b"\x0a\x20a text that is over ten bytes...")).await;
    peer.call(3, ECHO, Some(b"\x0a\x0aten bytes.")).await;
    for _ in [1, 3] {
        peer.next_of(DATA).await; // the ten bytes that the window allows
    }
    let report = server.stop().await;
    assert_eq!((report.answered, report.cut, report.exit_code()), (0, 2, 3));
}

/// The peer has not acknowledged the PING, but it still takes the reply.
#[tokio::test]
async fn slow_reader_is_not_closed_for_a_missing_ping_ack() {
    let server = TestServer::start(&["--drain-timeout=1m"]);
    let mut peer = RawPeer::with_settings(server.tcp().await, &[INITIAL_WINDOW_SIZE, 0]).await;
    peer.call(1, ECHO, Some(b"\x0a\x0cAda Lovelace")).await;
    peer.next_of(HEADERS).await;
    let started = Instant::now();
    let stopping = tokio::spawn(server.stop());
    let mut reply = Vec::new();
    while reply.len() < b"\0\0\0\0\x0e\x0a\x0cAda Lovelace".len() {
        // A byte every 400 ms takes longer than the five seconds for an unresponsive peer.
        let mut pause = tokio::time::interval(Duration::from_millis(400));
        pause.tick().await;
        pause.tick().await;
        peer.send(&frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())).await;
        reply.extend(peer.next_of(DATA).await.payload);
    }
    assert!(started.elapsed() > Duration::from_secs(5));
    assert_eq!(peer.next_of(HEADERS).await.flags & END_STREAM, END_STREAM);
    drop(peer);
    let report = with_timeout(stopping).await.unwrap();
    assert_eq!((report.answered, report.cut, report.exit_code()), (1, 0, 0));
}

#[tokio::test]
async fn open_watch_does_not_delay_the_drain() {
    let server = TestServer::start(&["--drain-timeout=1h"]);
    let client = server.connect().await;
    let watch = client.health().watch(HealthCheckRequest::default()).await.unwrap();
    let mut statuses = watch.into_inner();
    assert!(statuses.message().await.unwrap().is_some());
    let report = server.stop().await;
    assert_eq!((report.answered, report.cut), (1, 0));
}

#[tokio::test]
async fn drain_timeout_cuts_and_counts_the_remaining_calls() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--drain-timeout=200ms"], &probe);
    let client = server.connect().await;
    client.run(Script::Echo).await.unwrap();
    let waiting = [wait(&client), wait(&client)];
    probe.waits_begun(2).await;
    let _silent = server.tcp().await;
    let _silent_http2 = RawPeer::connect(server.tcp().await).await;

    let started = Instant::now();
    let report = server.stop().await;
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(4), "{took:?}");
    assert_eq!((report.answered, report.cut, report.exit_code()), (1, 2, 3));
    assert_eq!(closed(&report, CloseReason::Cut), 3);
    for call in waiting {
        assert!(call.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn second_signal_cuts_at_once() {
    let probe = ScriptedProbe::new();
    let mut server = TestServer::with_probe(&["--drain-timeout=1h"], &probe);
    let address = server.address().to_owned();
    let client = server.connect().await;
    let waiting = wait(&client);
    probe.waits_begun(1).await;

    server.drain();
    listener_closed(&address).await;
    let started = Instant::now();
    server.cut();
    let report = server.stop().await;
    assert!(started.elapsed() < Duration::from_secs(4));
    assert_eq!((report.cut, report.exit_code()), (1, 3));
    assert!(with_timeout(waiting).await.unwrap().is_err());
}

#[tokio::test]
async fn second_signal_ends_the_lame_duck_phase() {
    let mut server = TestServer::start(&["--drain-delay=1h"]);
    server.drain();
    server.cut();
    assert_eq!(server.stop().await.exit_code(), 0);
}

/// Four clients call in a loop and reconnect after a GOAWAY. The number of replies that they
/// received equals the number that the server reports.
#[tokio::test]
async fn every_accepted_call_is_answered_under_load() {
    let mut server = TestServer::start(&[]);
    let address = server.address().to_owned();
    let (reply_sender, mut replies) = tokio::sync::mpsc::channel(1);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (address, reply_sender) = (address.clone(), reply_sender.clone());
            tokio::spawn(async move {
                let mut received = 0_u64;
                while let Ok(tcp) = TcpStream::connect(&address).await {
                    let client = Client::handshake(tcp).await;
                    while let Ok(reply) = client.echo("Ada").await {
                        assert_eq!(reply, "Ada");
                        received += 1;
                        let _ = reply_sender.try_send(());
                    }
                }
                received
            })
        })
        .collect();
    for _ in 0..200 {
        with_timeout(replies.recv()).await.unwrap();
    }
    server.drain();
    let report = server.stop().await;
    let mut received = 0;
    for client in clients {
        received += with_timeout(client).await.unwrap();
    }
    assert_eq!((report.answered, report.cut), (received, 0));
    assert_eq!(closed(&report, CloseReason::Panic), 0);
    assert!(received >= 200);
}
