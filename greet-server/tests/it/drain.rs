//! Leaving: nothing accepted is lost, and nobody can hold the door open for longer than the bound.

use std::time::{Duration, Instant};

use greet_server::{CloseCause, Outcome};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;

use crate::support::{Client, Faulty, TestServer, soon};

fn closed(outcome: &Outcome, cause: CloseCause) -> u64 {
    let mut closed = outcome.closed.iter();
    closed.find(|(counted, _)| *counted == cause).unwrap().1
}

/// Preface and SETTINGS, then silence: no SETTINGS ACK, no PONG, no close.
async fn mute_peer(server: &TestServer) -> TcpStream {
    let mut tcp = server.tcp().await;
    tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    tcp.read_u8().await.unwrap(); // the server's SETTINGS: it is past the handshake
    tcp
}

/// GOAWAY that lets every stream live: nothing is refused yet.
const GOAWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0";
/// The head of a PING, its payload follows.
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0";

/// Reads up to the end of `frame`, and returns all that was read.
async fn until(tcp: &mut TcpStream, frame: &[u8]) -> Vec<u8> {
    let mut said = Vec::new();
    while !said.ends_with(frame) {
        said.push(soon(tcp.read_u8()).await.unwrap());
    }
    said
}

fn call(
    client: &Client,
    name: &'static str,
) -> tokio::task::JoinHandle<Result<String, tonic::Status>> {
    let client = client.clone();
    tokio::spawn(async move { client.say_hello(name).await })
}

/// Completes once the listener is closed: the drain has begun.
async fn is_refused(address: &str) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let server = TestServer::start(&[]);
    let begun = Instant::now();
    let outcome = server.stop().await;
    assert!(Instant::now() - begun < Duration::from_secs(1));
    assert_eq!((outcome.answered, outcome.cut, outcome.exit_code()), (0, 0, 0));
}

#[tokio::test]
async fn a_call_in_flight_is_answered_while_new_connections_are_refused() {
    let greeter = Faulty::new();
    let mut server = TestServer::with_greeter(&[], greeter.clone());
    let address = server.address().to_owned();
    let client = server.connect().await;
    let waiting = call(&client, "wait");
    greeter.has_begun(1).await;

    server.drain();
    soon(is_refused(&address)).await;
    greeter.release.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap(), "Hello wait");
    let outcome = server.outcome().await;
    assert_eq!((outcome.answered, outcome.cut, outcome.exit_code()), (1, 0, 0));
}

#[tokio::test]
async fn a_peer_that_never_speaks_does_not_hold_the_drain_up() {
    let server = TestServer::start(&["--drain-timeout=1h"]);
    let _silent = server.tcp().await;
    let begun = Instant::now();
    let outcome = server.stop().await;
    assert!(Instant::now() - begun < Duration::from_secs(2));
    assert_eq!(closed(&outcome, CloseCause::DrainedInHandshake), 1);
    assert_eq!(outcome.exit_code(), 0);
}

#[tokio::test]
async fn a_peer_that_is_in_its_handshake_when_the_drain_begins_may_finish_it_and_is_told_to_go() {
    let mut server = TestServer::start(&[]);
    let address = server.address().to_owned();
    let mut late = server.tcp().await;
    server.drain();
    soon(is_refused(&address)).await;
    late.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    until(&mut late, GOAWAY).await;
    drop(late);
    let outcome = server.outcome().await;
    assert_eq!(closed(&outcome, CloseCause::DrainedInHandshake), 0);
    assert_eq!(closed(&outcome, CloseCause::Panic), 0);
}

/// A socket that is closed on unread bytes resets its peer, and a reset destroys what the peer has
/// not read yet: the last replies, and the GOAWAY that tells which calls were not taken.
#[tokio::test]
async fn a_peer_that_does_not_close_is_heard_out_for_a_second_after_the_goodbye() {
    let mut server = TestServer::start(&[]);
    let mut peer = mute_peer(&server).await;
    let begun = Instant::now();
    server.drain();
    until(&mut peer, PING).await;
    let mut payload = [0; 8];
    soon(peer.read_exact(&mut payload)).await.unwrap();
    peer.write_all(&[b"\0\0\x08\x06\x01\0\0\0\0", &payload[..]].concat()).await.unwrap();
    let mut goodbye = Vec::new();
    soon(peer.read_to_end(&mut goodbye)).await.unwrap();
    peer.write_all(&[PING, &[0; 8]].concat()).await.unwrap();

    let outcome = server.outcome().await;
    let took = Instant::now() - begun;
    assert!((1..3).contains(&took.as_secs()), "{took:?}");
    assert_eq!(outcome.exit_code(), 0);
}

#[tokio::test]
async fn a_peer_that_never_answers_the_goaway_is_closed_after_five_seconds() {
    let server = TestServer::start(&["--drain-timeout=1h"]);
    let _mute = mute_peer(&server).await;
    let begun = Instant::now();
    let outcome = server.stop().await;
    let took = Instant::now() - begun;
    assert!((5..8).contains(&took.as_secs()), "{took:?}");
    assert_eq!(closed(&outcome, CloseCause::GoawayUnanswered), 1);
    assert_eq!(outcome.exit_code(), 0);
}

/// The two steps of "graceful" (RFC 9113, section 6.8): a GOAWAY that refuses nothing yet, so that
/// a request which is on its way is still taken, and a PING whose answer says that none is.
#[tokio::test]
async fn a_peer_is_told_to_go_before_it_is_refused_anything() {
    let mut server = TestServer::start(&["--drain-timeout=1s"]);
    let mut mute = mute_peer(&server).await;
    server.drain();
    let before_ping = until(&mut mute, PING).await;
    let mut frames = before_ping.windows(GOAWAY.len());
    assert!(frames.any(|frame| frame == GOAWAY), "{before_ping:?}");
}

#[tokio::test]
async fn an_open_watch_does_not_hold_the_drain_up() {
    let server = TestServer::start(&["--drain-timeout=1h"]);
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
    let server = TestServer::with_greeter(&["--drain-timeout=200ms"], greeter.clone());
    let client = server.connect().await;
    assert!(client.say_hello("Ada").await.is_ok());
    let hanging = [call(&client, "wait"), call(&client, "wait")];
    greeter.has_begun(2).await;
    let _silent = server.tcp().await;
    let _mute = mute_peer(&server).await;

    let begun = Instant::now();
    let outcome = server.stop().await;
    let took = Instant::now() - begun;
    assert!(took >= Duration::from_millis(200) && took < Duration::from_millis(1_200), "{took:?}");
    assert_eq!((outcome.answered, outcome.cut, outcome.exit_code()), (1, 2, 3));
    assert_eq!(closed(&outcome, CloseCause::Cut), 3);
    for call in hanging {
        assert!(call.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_second_signal_cuts_at_once() {
    let greeter = Faulty::new();
    let mut server = TestServer::with_greeter(&["--drain-timeout=1h"], greeter.clone());
    let address = server.address().to_owned();
    let client = server.connect().await;
    let hanging = call(&client, "wait");
    greeter.has_begun(1).await;

    server.drain();
    soon(is_refused(&address)).await;
    let begun = Instant::now();
    server.cut();
    let outcome = server.outcome().await;
    assert!(Instant::now() - begun < Duration::from_secs(1));
    assert_eq!((outcome.cut, outcome.exit_code()), (1, 3));
    assert!(soon(hanging).await.unwrap().is_err());
}

#[tokio::test]
async fn a_second_signal_ends_the_lame_duck_time_too() {
    let mut server = TestServer::start(&["--drain-delay=1h"]);
    server.drain();
    server.cut();
    assert_eq!(server.outcome().await.exit_code(), 0);
}

/// Four clients call as fast as they can and connect again when told to go; one more call than the
/// server says it answered, or one less, would be a lie or a loss.
#[tokio::test]
async fn under_load_every_accepted_call_is_answered() {
    let mut server = TestServer::start(&[]);
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
    assert_eq!(closed(&outcome, CloseCause::Panic), 0);
    assert!(received >= 200);
}
