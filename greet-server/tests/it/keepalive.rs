//! A peer that is gone is noticed; a connection that is old or idle is told to go, and cut if it does
//! not.

use std::time::{Duration, Instant};

use greet_server::CloseReason;
use greet_testkit::RawPeer;
use greet_testkit::http2::{EVERY_STREAM, GOAWAY, PING};
use tokio::io::AsyncReadExt as _;

use crate::support::{Faulty, TestServer, closed, soon};

/// Reads until the server has closed, and answers nothing.
async fn is_closed(peer: &mut RawPeer) {
    let _ = soon(peer.tcp.read_to_end(&mut Vec::new())).await; // a reset is an end too
}

#[tokio::test]
async fn a_peer_that_does_not_answer_a_ping_is_closed_and_one_that_does_is_not() {
    let flags = ["--keepalive-interval=100ms", "--keepalive-timeout=200ms"];
    let server = TestServer::start(&flags).await;
    let good = server.connect().await;
    assert!(good.say_hello("Ada").await.is_ok());
    let begun = Instant::now();
    let mut gone = RawPeer::connect(server.tcp().await).await;
    gone.next_of(PING).await;
    is_closed(&mut gone).await;
    let took = Instant::now() - begun;
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    assert_eq!(closed(&server.stop().await, CloseReason::KeepaliveTimeout), 1);
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_and_its_calls_are_answered() {
    let greeter = Faulty::new();
    let server = TestServer::with_greeter(&["--max-connection-age=200ms"], greeter.clone()).await;
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let client = server.connect().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.say_hello("wait").await }
    });
    greeter.has_begun(1).await;
    assert!(peer.next_of(GOAWAY).await.payload.starts_with(&EVERY_STREAM));
    peer.pong().await;
    is_closed(&mut peer).await;

    greeter.release.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap(), "Hello wait");
    drop(peer);
    let outcome = server.stop().await;
    assert!(closed(&outcome, CloseReason::MaxConnectionAge) >= 1, "{outcome:?}");
    assert_eq!((outcome.answered, outcome.cut), (1, 0));
}

#[tokio::test]
async fn an_old_connection_that_does_not_go_is_cut_after_its_grace() {
    let flags = ["--max-connection-age=100ms", "--max-connection-age-grace=200ms"];
    let server = TestServer::with_greeter(&flags, Faulty::new()).await;
    let mut peer = RawPeer::connect(server.tcp().await).await;
    peer.call(1, "/greet.Greeter/SayHello", None).await; // its message never comes
    peer.next_of(GOAWAY).await;
    is_closed(&mut peer).await;
    let outcome = server.stop().await;
    assert_eq!(closed(&outcome, CloseReason::AgeGraceExceeded), 1);
    assert_eq!(outcome.abandoned, 1);
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go_and_a_busy_one_is_not() {
    let greeter = Faulty::new();
    let server = TestServer::with_greeter(&["--max-connection-idle=200ms"], greeter.clone()).await;
    let busy = server.connect().await;
    let waiting = tokio::spawn({
        let busy = busy.clone();
        async move { busy.say_hello("wait").await }
    });
    greeter.has_begun(1).await;
    let begun = Instant::now();
    let mut idle = RawPeer::connect(server.tcp().await).await;
    idle.next_of(GOAWAY).await;
    assert!(Instant::now() - begun >= Duration::from_millis(200));
    idle.pong().await;
    is_closed(&mut idle).await;

    greeter.release.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap(), "Hello wait");
    drop(idle);
    assert_eq!(closed(&server.stop().await, CloseReason::MaxConnectionIdle), 1);
}
