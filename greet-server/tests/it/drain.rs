//! Leaving: nothing accepted is lost, and nobody can hold the door open for longer than the bound.

use std::time::{Duration, Instant};

use greet_server::CloseReason;
use greet_testkit::RawPeer;
use greet_testkit::http2::{
    DATA, END_STREAM, EVERY_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING, PREFACE, SETTINGS,
    WINDOW_UPDATE, frame,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;

use crate::support::{Client, Faulty, SAY_HELLO, TestServer, closed, eventually, soon};

fn call(
    client: &Client,
    name: &'static str,
) -> tokio::task::JoinHandle<Result<String, tonic::Status>> {
    let client = client.clone();
    tokio::spawn(async move { client.say_hello(name).await })
}

/// Completes once the listener is closed: the drain has begun.
async fn listener_closed(address: &str) {
    let is_refused = async || TcpStream::connect(address).await.is_err();
    eventually("the listener is closed", is_refused).await;
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let server = TestServer::start(&[]).await;
    let begun = Instant::now();
    let outcome = server.stop().await;
    assert!(Instant::now() - begun < Duration::from_secs(1));
    assert_eq!((outcome.answered, outcome.cut, outcome.exit_code()), (0, 0, 0));
}

#[tokio::test]
async fn a_call_in_flight_is_answered_while_new_connections_are_refused() {
    let greeter = Faulty::new();
    let mut server = TestServer::with_greeter(&[], greeter.clone()).await;
    let address = server.address().to_owned();
    let client = server.connect().await;
    let waiting = call(&client, "wait");
    greeter.has_begun(1).await;

    server.drain();
    listener_closed(&address).await;
    greeter.release.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap(), "Hello wait");
    let outcome = server.outcome().await;
    assert_eq!((outcome.answered, outcome.cut, outcome.exit_code()), (1, 0, 0));
}

#[tokio::test]
async fn a_peer_that_never_speaks_does_not_hold_the_drain_up() {
    let server = TestServer::start(&["--drain-timeout=1h"]).await;
    let _silent = server.tcp().await;
    let begun = Instant::now();
    let outcome = server.stop().await;
    assert!(Instant::now() - begun < Duration::from_secs(2));
    assert_eq!(closed(&outcome, CloseReason::DrainedInHandshake), 1);
    assert_eq!(outcome.exit_code(), 0);
}

#[tokio::test]
async fn a_peer_that_is_in_its_handshake_when_the_drain_begins_may_finish_it_and_is_told_to_go() {
    let mut server = TestServer::start(&[]).await;
    let address = server.address().to_owned();
    let mut late = server.tcp().await;
    server.drain();
    listener_closed(&address).await;
    late.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let mut late = RawPeer { tcp: late };
    assert!(late.next_of(GOAWAY).await.payload.starts_with(&EVERY_STREAM));
    drop(late);
    let outcome = server.outcome().await;
    assert_eq!(closed(&outcome, CloseReason::DrainedInHandshake), 0);
    assert_eq!(closed(&outcome, CloseReason::Panic), 0);
}

/// A socket that is closed on unread bytes resets its peer, and a reset destroys what the peer has
/// not read yet: the last replies, and the GOAWAY that tells which calls were not taken.
#[tokio::test]
async fn a_peer_that_does_not_close_is_heard_out_for_a_second_after_the_goodbye() {
    let mut server = TestServer::start(&[]).await;
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let begun = Instant::now();
    server.drain();
    peer.pong().await;
    let mut goodbye = Vec::new();
    soon(peer.tcp.read_to_end(&mut goodbye)).await.unwrap();
    peer.send(&frame(PING, 0, 0, &[0; 8])).await;

    let outcome = server.outcome().await;
    let took = Instant::now() - begun;
    assert!((1..3).contains(&took.as_secs()), "{took:?}");
    assert_eq!(outcome.exit_code(), 0);
}

#[tokio::test]
async fn a_peer_that_never_answers_the_goaway_is_closed_after_five_seconds() {
    let server = TestServer::start(&["--drain-timeout=1h"]).await;
    let _mute = RawPeer::connect(server.tcp().await).await;
    let begun = Instant::now();
    let outcome = server.stop().await;
    let took = Instant::now() - begun;
    assert!((5..8).contains(&took.as_secs()), "{took:?}");
    assert_eq!(closed(&outcome, CloseReason::GoawayUnanswered), 1);
    assert_eq!(outcome.exit_code(), 0);
}

/// The two steps of "graceful" (RFC 9113, section 6.8): a GOAWAY that refuses nothing yet, so that
/// a request which is on its way is still taken, and a PING whose answer says that none is.
#[tokio::test]
async fn a_peer_is_told_to_go_before_it_is_refused_anything() {
    let mut server = TestServer::start(&["--drain-timeout=1s"]).await;
    let mut mute = RawPeer::connect(server.tcp().await).await;
    server.drain();
    assert!(mute.next_of(GOAWAY).await.payload.starts_with(&EVERY_STREAM));
    mute.next_of(PING).await;
}

/// A reply counts as answered when the kernel has it, not when HTTP/2 keeps it for a peer that reads
/// slowly or not at all: exit code 0 means that nothing was lost.
#[tokio::test]
async fn a_reply_that_never_left_is_cut_and_not_answered() {
    let flags = ["--drain-timeout=300ms", "--max-name-bytes=60000"];
    let server = TestServer::start(&flags).await;
    let mut peer = RawPeer::with_settings(server.tcp().await, &[INITIAL_WINDOW_SIZE, 10]).await;
    peer.call(1, SAY_HELLO, Some(b"\x0a\x20a name that is over ten bytes...")).await;
    peer.call(3, SAY_HELLO, Some(b"\x0a\x01a")).await;
    peer.next_of(DATA).await; // the ten bytes that there was a window for
    let outcome = server.stop().await;
    assert_eq!(outcome.answered + outcome.cut, 2, "{outcome:?}");
    assert!(outcome.cut >= 1 && outcome.exit_code() == 3, "{outcome:?}");
}

/// It owes us a PONG, and it is busy taking what we owe it.
#[tokio::test]
async fn a_peer_that_reads_slowly_is_not_taken_for_one_that_is_gone() {
    let server = TestServer::start(&["--drain-timeout=1m"]).await;
    let mut peer = RawPeer::with_settings(server.tcp().await, &[INITIAL_WINDOW_SIZE, 0]).await;
    peer.call(1, SAY_HELLO, Some(b"\x0a\x03Ada")).await;
    peer.next_of(HEADERS).await;
    let begun = Instant::now();
    let stopping = tokio::spawn(server.stop());
    let mut replied = Vec::new();
    while replied.len() < b"\0\0\0\0\x0b\x0a\x09Hello Ada".len() {
        // A byte every 400 ms: over five seconds, the patience with a peer that is gone.
        let mut pause = tokio::time::interval(Duration::from_millis(400));
        pause.tick().await;
        pause.tick().await;
        peer.send(&frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())).await;
        replied.extend(peer.next_of(DATA).await.payload);
    }
    assert!(Instant::now() - begun > Duration::from_secs(5));
    assert_eq!(peer.next_of(HEADERS).await.flags & END_STREAM, END_STREAM);
    drop(peer);
    let outcome = soon(stopping).await.unwrap();
    assert_eq!((outcome.answered, outcome.cut, outcome.exit_code()), (1, 0, 0));
}

#[tokio::test]
async fn an_open_watch_does_not_hold_the_drain_up() {
    let server = TestServer::start(&["--drain-timeout=1h"]).await;
    let client = server.connect().await;
    let watch = client.health().watch(HealthCheckRequest::default()).await.unwrap();
    let mut statuses = watch.into_inner();
    assert!(statuses.message().await.unwrap().is_some());
    let outcome = server.stop().await;
    assert_eq!((outcome.answered, outcome.cut), (1, 0));
}

#[tokio::test]
async fn at_the_drain_timeout_what_is_left_is_cut_and_counted() {
    let greeter = Faulty::new();
    let server = TestServer::with_greeter(&["--drain-timeout=200ms"], greeter.clone()).await;
    let client = server.connect().await;
    assert!(client.say_hello("Ada").await.is_ok());
    let hanging = [call(&client, "wait"), call(&client, "wait")];
    greeter.has_begun(2).await;
    let _silent = server.tcp().await;
    let _mute = RawPeer::connect(server.tcp().await).await;

    let begun = Instant::now();
    let outcome = server.stop().await;
    let took = Instant::now() - begun;
    assert!(took >= Duration::from_millis(200) && took < Duration::from_millis(1_200), "{took:?}");
    assert_eq!((outcome.answered, outcome.cut, outcome.exit_code()), (1, 2, 3));
    assert_eq!(closed(&outcome, CloseReason::Cut), 3);
    for call in hanging {
        assert!(call.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_second_signal_cuts_at_once() {
    let greeter = Faulty::new();
    let mut server = TestServer::with_greeter(&["--drain-timeout=1h"], greeter.clone()).await;
    let address = server.address().to_owned();
    let client = server.connect().await;
    let hanging = call(&client, "wait");
    greeter.has_begun(1).await;

    server.drain();
    listener_closed(&address).await;
    let begun = Instant::now();
    server.cut();
    let outcome = server.outcome().await;
    assert!(Instant::now() - begun < Duration::from_secs(1));
    assert_eq!((outcome.cut, outcome.exit_code()), (1, 3));
    assert!(soon(hanging).await.unwrap().is_err());
}

#[tokio::test]
async fn a_second_signal_ends_the_lame_duck_time_too() {
    let mut server = TestServer::start(&["--drain-delay=1h"]).await;
    server.drain();
    server.cut();
    assert_eq!(server.outcome().await.exit_code(), 0);
}

/// Four clients call as fast as they can and connect again when told to go; one more call than the
/// server says it answered, or one less, would be a lie or a loss.
#[tokio::test]
async fn under_load_every_accepted_call_is_answered() {
    let mut server = TestServer::start(&[]).await;
    let address = server.address().to_owned();
    let (first_answer, mut answers) = tokio::sync::mpsc::channel(1);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (address, first_answer) = (address.clone(), first_answer.clone());
            tokio::spawn(async move {
                let mut answered = 0_u64;
                while let Ok(tcp) = TcpStream::connect(&address).await {
                    let client = Client::handshake(tcp).await;
                    while let Ok(reply) = client.say_hello("Ada").await {
                        assert_eq!(reply, "Hello Ada");
                        answered += 1;
                        let _ = first_answer.try_send(());
                    }
                }
                answered
            })
        })
        .collect();
    for _ in 0..200 {
        soon(answers.recv()).await.unwrap();
    }
    server.drain();
    let outcome = server.outcome().await;
    let mut received = 0;
    for client in clients {
        received += soon(client).await.unwrap();
    }
    assert_eq!((outcome.answered, outcome.cut), (received, 0));
    assert_eq!(closed(&outcome, CloseReason::Panic), 0);
    assert!(received >= 200);
}
