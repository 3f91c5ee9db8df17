//! Rapid reset: streams opened and reset in a burst (CVE-2023-44487), or one at a time, which the
//! counter of h2 does not see. A well-behaved client beside it must not be affected.

use std::io;

use greet_server::CloseReason;
use greet_testkit::framing::framed;
use greet_testkit::http2::{
    CANCEL, DATA, END_HEADERS, GOAWAY, HEADERS, RST_STREAM, call_headers, frame,
};
use greet_testkit::{Client, ECHO, RawPeer, TestServer, closed};

/// The error code as GOAWAY carries it.
const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];

/// A message of Echo and its reply.
const ADA: &[u8] = b"\x0a\x03Ada";

/// Encodes a call without its message, and its reset.
fn call_and_reset(number: u32) -> [Vec<u8>; 2] {
    let stream = 2 * number + 1;
    [
        frame(HEADERS, END_HEADERS, stream, &call_headers(ECHO)),
        frame(RST_STREAM, 0, stream, &CANCEL),
    ]
}

#[tokio::test]
async fn burst_of_resets_is_enhance_your_calm() {
    let server = TestServer::start(&[]);
    let good = server.connect().await;
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let burst: Vec<u8> = (0..300).flat_map(|number| call_and_reset(number).concat()).collect();
    peer.send(&burst).await;
    assert_eq!(peer.next_of(GOAWAY).await.payload[4..8], ENHANCE_YOUR_CALM);
    assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::AbandonedCalls), 1);
}

/// A worker that was busy reads them all at once; h2 alone would allow 20.
#[tokio::test]
async fn client_that_cancels_all_its_calls_at_once_is_served() {
    let server = TestServer::start(&[]);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let burst: Vec<u8> = (0..200).flat_map(|number| call_and_reset(number).concat()).collect();
    peer.send(&burst).await;
    peer.call(401, ECHO, Some(b"")).await;
    assert_eq!(peer.next_of(DATA).await.payload, framed(b""));
}

/// Opens calls and resets each. Fails when the server has closed the connection.
async fn reset_one_at_a_time(peer: &mut RawPeer, good: &Client, calls: u32) -> io::Result<()> {
    for number in 0..calls {
        let [call, reset] = call_and_reset(number);
        peer.try_send(&call).await?;
        // A call of the other client in between makes the server read both frames apart.
        assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
        peer.try_send(&reset).await?;
    }
    Ok(())
}

#[tokio::test]
async fn single_resets_over_the_limit_close_the_connection() {
    let server = TestServer::start(&["--workers=1"]);
    let good = server.connect().await;
    let mut peer = RawPeer::connect(server.tcp().await).await;
    reset_one_at_a_time(&mut peer, &good, 200).await.unwrap();
    peer.call(401, ECHO, Some(ADA)).await;
    assert_eq!(peer.next_of(DATA).await.stream, 401);
    drop(peer);

    // The limit of 200 regains one every 150 ms: the slower the machine, the more resets it takes.
    let mut peer = RawPeer::connect(server.tcp().await).await;
    assert!(reset_one_at_a_time(&mut peer, &good, 100_000).await.is_err());
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::AbandonedCalls), 1);
}

/// A client has no other way to end a Watch.
#[tokio::test]
async fn cancelled_streams_that_had_a_message_are_no_abuse() {
    const WATCH: &str = "/grpc.health.v1.Health/Watch";
    let server = TestServer::start(&[]);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    for round in 0..5 {
        let streams = (0..100).map(|number| 200 * round + 2 * number + 1);
        for stream in streams.clone() {
            peer.call(stream, WATCH, Some(b"")).await;
        }
        for _ in streams.clone() {
            peer.next_of(DATA).await;
        }
        for stream in streams {
            peer.send(&frame(RST_STREAM, 0, stream, &CANCEL)).await;
        }
    }
    peer.call(1_001, ECHO, Some(b"")).await;
    assert_eq!(peer.next_of(DATA).await.stream, 1_001);
    drop(peer);
    let report = server.stop().await;
    assert_eq!((report.abandoned, closed(&report, CloseReason::AbandonedCalls)), (500, 0));
}
