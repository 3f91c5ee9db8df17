//! Rapid reset: calls that are begun and given up, in a burst (CVE-2023-44487) and one at a time, which
//! h2's own counter does not see. A good client beside it does not notice.

use greet_server::{CloseReason, ShutdownReport};
use greet_testkit::RawPeer;
use greet_testkit::http2::{CANCEL, END_HEADERS, GOAWAY, HEADERS, RST_STREAM, call_headers, frame};
use tokio::io::AsyncReadExt as _;

use crate::support::{SAY_HELLO, TestServer, closed, soon};

/// GOAWAY's error code ENHANCE_YOUR_CALM.
const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];

/// A call without its message, and a reset.
fn begun_and_given_up(call: u32) -> [Vec<u8>; 2] {
    let stream = 2 * call + 1;
    [
        frame(HEADERS, END_HEADERS, stream, &call_headers(SAY_HELLO)),
        frame(RST_STREAM, 0, stream, &CANCEL),
    ]
}

#[tokio::test]
async fn a_burst_of_resets_is_told_to_calm_down() {
    let server = TestServer::start(&[]).await;
    let good = server.connect().await;
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let burst: Vec<u8> = (0..100).flat_map(|call| begun_and_given_up(call).concat()).collect();
    peer.send(&burst).await;
    assert_eq!(peer.next_of(GOAWAY).await.payload[4..8], ENHANCE_YOUR_CALM);
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::ProtocolError), 1);
}

/// Gives up `calls` calls one at a time, and returns whether the connection still takes one.
async fn after_giving_up(calls: u32) -> (bool, ShutdownReport) {
    let server = TestServer::start(&["--workers=1"]).await;
    let good = server.connect().await;
    let mut peer = RawPeer::connect(server.tcp().await).await;
    for call in 0..calls {
        let [begin, give_up] = begun_and_given_up(call);
        peer.send(&begin).await;
        // The good client's call in between lets the server see each half on its own.
        assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
        peer.send(&give_up).await;
    }
    peer.call(2 * calls + 1, SAY_HELLO, Some(b"")).await;
    let mut said = Vec::new();
    let answered = loop {
        match soon(peer.tcp.read_u8()).await {
            Ok(byte) => said.push(byte),
            Err(_closed) => break false,
        }
        if said.ends_with(b"\x0a\x06Hello ") {
            break true;
        }
    };
    assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
    drop(peer);
    (answered, server.stop().await)
}

#[tokio::test]
async fn resets_one_at_a_time_end_the_connection_when_there_are_too_many() {
    let (answered, outcome) = after_giving_up(200).await;
    assert!(answered);
    assert_eq!(closed(&outcome, CloseReason::AbandonedCalls), 0);

    let (answered, outcome) = after_giving_up(230).await; // some may be forgiven meanwhile
    assert!(!answered);
    assert_eq!(closed(&outcome, CloseReason::AbandonedCalls), 1);
}
