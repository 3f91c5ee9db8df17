//! The memory that is held for peers is limited: over `--memory-limit`, the connections that hold most
//! are closed, and other clients notice nothing.

use std::cell::Cell;

use bytes::Bytes;
use greet_server::CloseReason;
use greet_testkit::framing::framed;
use greet_testkit::http2::{
    CONTINUATION, DATA, DEFAULT_WINDOW, HEADERS, INITIAL_WINDOW_SIZE, call, call_headers, frame,
};
use greet_testkit::probe::{ProbeRequest, Script};
use greet_testkit::{
    COLLECT, Client, ECHO, EXPAND, RELAY, RawPeer, ScriptedProbe, TestServer, WAIT, closed,
    grpc_request, with_timeout,
};
use http::Request;
use prost::Message as _;

use crate::support::samples::{ADMIN, Samples, scrape_until};

const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// Calls of a greedy client, which together exceed the limit.
const CALLS: usize = 100;
/// Whether a request ends, or its call stays open.
const IS_WHOLE: bool = true;

const HELD: &str = "greet_memory_held_bytes";

/// Starts a server with a limit of 8 MiB and messages of up to 1 MB.
fn start() -> (TestServer, ScriptedProbe) {
    let probe = ScriptedProbe::new();
    let flags = ["--memory-limit=8MiB", "--max-message-bytes=1000000", ADMIN];
    (TestServer::with_probe(&flags, &probe), probe)
}

/// A message of `bytes` bytes without its last one.
fn unfinished(bytes: usize) -> Vec<u8> {
    let mut message = framed(&vec![b'x'; bytes]);
    message.pop();
    message
}

/// Makes `CALLS` calls beside a client on each worker, until the server closes the connection.
async fn assert_closed(window: u32, is_whole: bool, request: Request<Bytes>) {
    let (server, _probe) = start();
    let good: [Client; 2] = [server.connect().await, server.connect().await];
    let client = server.connect_h2(|builder| _ = builder.initial_window_size(window)).await;
    let (head, body) = request.into_parts();
    let mut started = Vec::new();
    for _ in 0..CALLS {
        let head = Request::from_parts(head.clone(), ());
        let Ok((response, mut stream)) = client.try_start(head).await else { break };
        if stream.send_data(body.clone(), is_whole).is_err() {
            break;
        }
        started.push((response, stream));
        for client in &good {
            client.run(Script::Echo).await.unwrap();
        }
    }
    let is_closed = |samples: &Samples| samples.closed("memory_limit") == 1;
    let samples =
        scrape_until(&server, |samples| is_closed(samples) && samples.get(HELD) < 1 << 20);
    assert_eq!(samples.await.get("greet_memory_limit_bytes"), 8 << 20);
    let mut ready = client.try_start(Request::new(())).await;
    let error = loop {
        match ready {
            Err(error) => break error,
            Ok(_) => ready = client.try_start(Request::new(())).await,
        }
    };
    assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
    for client in &good {
        client.run(Script::Echo).await.unwrap();
    }
    assert_eq!(closed(&server.stop().await, CloseReason::MemoryLimit), 1);
}

#[tokio::test]
async fn connection_with_most_unfinished_messages_is_closed() {
    assert_closed(DEFAULT_WINDOW, !IS_WHOLE, grpc_request(ECHO, unfinished(200_000))).await;

    let mut request = grpc_request(ECHO, unfinished(200_000));
    request.headers_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    assert_closed(DEFAULT_WINDOW, !IS_WHOLE, request).await;
}

/// The handler of Collect waits for its release, and reads nothing meanwhile.
#[tokio::test]
async fn connection_with_most_unread_messages_is_closed() {
    let messages = [framed(WAIT), framed(&[0x7a, 0]).repeat(20_000)].concat();
    assert_closed(DEFAULT_WINDOW, !IS_WHOLE, grpc_request(COLLECT, messages)).await;
}

/// The peer opens windows of one byte, so that a handler is asked for its first reply.
#[tokio::test]
async fn connection_with_most_replies_that_wait_is_closed() {
    let request = ProbeRequest::new(Script::Large, "", 200_000).encode_to_vec();
    for path in [ECHO, EXPAND] {
        assert_closed(1, IS_WHOLE, grpc_request(path, framed(&request))).await;
    }
}

/// A request is echoed in its reply; the next one is read only when the window opens.
#[tokio::test]
async fn reflection_to_a_peer_without_a_window_holds_little() {
    let (server, _probe) = start();
    let mut peer = RawPeer::with_settings(server.tcp().await, &[INITIAL_WINDOW_SIZE, 0]).await;
    // file_by_filename, in frames of one byte.
    let request = framed(&[&[0x1a, 100][..], &[b'x'; 100]].concat());
    let bytes: Vec<u8> = request.iter().flat_map(|byte| frame(DATA, 0, 1, &[*byte])).collect();
    peer.send(&call(1, REFLECTION, None)).await;
    for _ in 0..100 {
        peer.send(&bytes).await;
    }
    peer.call(3, ECHO, Some(b"")).await;
    while peer.next_of(HEADERS).await.stream != 3 {}
    let held = Samples::scrape(&server).await.get(HELD);
    assert!(held < 200_000, "{held}");
    drop(peer);
    scrape_until(&server, |samples| samples.get(HELD) == 0).await;
}

/// The limit bounds the sum, so an honest client may use most of it.
#[tokio::test]
async fn honest_client_below_the_limit_is_served() {
    let (server, _probe) = start();
    let client = server.connect_h2(|_| {}).await;
    let message = ProbeRequest::new(Script::Echo, vec![b'x'; 200_000], 0).encode_to_vec();
    let message = Bytes::from(framed(&message));
    let mut calls = Vec::new();
    for _ in 0..15 {
        let (head, ()) = grpc_request(ECHO, "").map(drop).into_parts();
        let (response, mut stream) = client.start(Request::from_parts(head, ())).await;
        stream.send_data(message.slice(..200_000), false).unwrap();
        calls.push((response, stream));
    }
    let samples = scrape_until(&server, |samples| samples.get(HELD) >= 3_000_000).await;
    assert!(samples.get(HELD) < 8 << 20);
    for (_, stream) in &mut calls {
        stream.send_data(message.slice(200_000..), true).unwrap();
    }
    for (response, _) in calls {
        assert_eq!(with_timeout(response).await.unwrap().status(), 200);
    }
    drop(client);
    scrape_until(&server, |samples| samples.get(HELD) == 0).await;
    assert_eq!(closed(&server.stop().await, CloseReason::MemoryLimit), 0);
}

/// Every kind of call returns what it held.
#[tokio::test]
async fn nothing_is_held_after_the_last_connection() {
    let (server, probe) = start();
    let client = server.connect().await;
    client.run(Script::Echo).await.unwrap();
    let held = Samples::scrape(&server).await.get(HELD);
    assert!((17_000..40_000).contains(&held), "{held}");
    let mut peer = RawPeer::connect(server.tcp().await).await;
    for (stream, path) in (1..).step_by(2).zip([ECHO, COLLECT, EXPAND, RELAY, REFLECTION]) {
        peer.call(stream, path, None).await;
        peer.send(&frame(DATA, 0, stream, &unfinished(10_000))).await;
    }
    peer.call(101, ECHO, Some(WAIT)).await;
    probe.waits_begun(1).await;
    scrape_until(&server, |samples| samples.get(HELD) > held + 5 * 10_000).await;
    drop((client, peer));
    scrape_until(&server, |samples| samples.get(HELD) == 0).await;
}

/// The tasks of closed connections free their bytes only when they run, so calls that would wait are
/// refused meanwhile.
#[tokio::test]
async fn burst_of_waiting_calls_stays_near_the_limit() {
    let (server, _probe) = start();
    let good = server.connect().await;
    let burst: Vec<_> = (0..200).flat_map(|number| call(2 * number + 1, ECHO, None)).collect();
    let mut peers = Vec::new();
    for _ in 0..60 {
        peers.push(RawPeer::connect(server.tcp().await).await);
    }
    for peer in &mut peers {
        let _ = peer.try_send(&burst).await; // the server may have closed
    }
    let max_held = Cell::new(0);
    let samples = scrape_until(&server, |samples| {
        max_held.set(max_held.get().max(samples.get(HELD)));
        samples.closed("memory_limit") > 0 && samples.get(HELD) <= 8 << 20
    });
    samples.await;
    assert!(max_held.get() < 16 << 20, "{max_held:?}");
    good.run(Script::Echo).await.unwrap();
    drop((good, peers));
    scrape_until(&server, |samples| samples.get(HELD) == 0).await;
}

/// Five frames of a header block are allowed, and HTTP/2 keeps them until the block ends.
#[tokio::test]
async fn header_block_without_an_end_is_held() {
    let (server, _probe) = start();
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let mut frames = frame(HEADERS, 0, 1, &call_headers(ECHO));
    // The literal of which these are a part has not ended.
    frames.extend(frame(
        CONTINUATION,
        0,
        1,
        &[&[0, 1, b'x', 0x7f, 0xff, 0xff, 0x7f][..], &[b'x'; 16_000]].concat(),
    ));
    frames.extend(frame(CONTINUATION, 0, 1, &[b'x'; 16_000]).repeat(2));
    let before = Samples::scrape(&server).await.get(HELD);
    peer.send(&frames).await;
    scrape_until(&server, |samples| samples.get(HELD) > before + 48_000).await;
    drop(peer);
    scrape_until(&server, |samples| samples.get(HELD) == 0).await;
}
