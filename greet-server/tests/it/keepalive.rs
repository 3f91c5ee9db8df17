//! Keepalive: unresponsive peers are closed; connections at their maximum age or idle time get a
//! GOAWAY and are cut after the grace period.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use greet_server::CloseReason;
use greet_testkit::RawPeer;
use greet_testkit::http2::{EVERY_STREAM, GOAWAY, PING};
use tokio::io::AsyncReadExt as _;
use tower_service::Service as _;

use crate::support::{ScriptedGreeter, TestServer, closed, eventually, with_timeout};

/// Reads until the server has closed, and acknowledges nothing.
async fn server_closed(peer: &mut RawPeer) {
    let _ = with_timeout(peer.tcp.read_to_end(&mut Vec::new())).await; // closed or reset
}

#[tokio::test]
async fn only_the_peer_that_does_not_ack_a_ping_is_closed() {
    let flags = ["--keepalive-interval=100ms", "--keepalive-timeout=200ms"];
    let server = TestServer::start(&flags).await;
    let good = server.connect().await;
    assert!(good.say_hello("Ada").await.is_ok());
    let started = Instant::now();
    let mut unresponsive = RawPeer::connect(server.tcp().await).await;
    unresponsive.next_of(PING).await;
    server_closed(&mut unresponsive).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    assert_eq!(closed(&server.stop().await, CloseReason::KeepaliveTimeout), 1);
}

#[tokio::test]
async fn connection_at_max_age_gets_goaway_and_its_calls_are_answered() {
    let greeter = ScriptedGreeter::new();
    let server = TestServer::with_greeter(&["--max-connection-age=200ms"], greeter.clone()).await;
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let mut client = server.connect().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.say_hello("wait").await }
    });
    greeter.calls_started(1).await;
    assert!(peer.next_of(GOAWAY).await.payload.starts_with(&EVERY_STREAM));
    peer.pong().await;
    server_closed(&mut peer).await;

    greeter.release.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap(), "Hello wait");
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
    let server = TestServer::with_greeter(&flags, ScriptedGreeter::new()).await;
    let mut peer = RawPeer::connect(server.tcp().await).await;
    peer.call(1, "/greet.Greeter/SayHello", None).await; // without a message
    peer.next_of(GOAWAY).await;
    server_closed(&mut peer).await;
    let report = server.stop().await;
    assert_eq!(closed(&report, CloseReason::AgeGraceExceeded), 1);
    assert_eq!(report.abandoned, 1);
}

#[tokio::test]
async fn idle_connection_gets_goaway_and_a_busy_one_does_not() {
    let greeter = ScriptedGreeter::new();
    let server = TestServer::with_greeter(&["--max-connection-idle=200ms"], greeter.clone()).await;
    let busy = server.connect().await;
    let waiting = tokio::spawn({
        let busy = busy.clone();
        async move { busy.say_hello("wait").await }
    });
    greeter.calls_started(1).await;
    let started = Instant::now();
    let mut idle = RawPeer::connect(server.tcp().await).await;
    idle.next_of(GOAWAY).await;
    assert!(started.elapsed() >= Duration::from_millis(200));
    idle.pong().await;
    server_closed(&mut idle).await;

    greeter.release.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap(), "Hello wait");
    drop(idle);
    assert_eq!(closed(&server.stop().await, CloseReason::MaxConnectionIdle), 1);
}
