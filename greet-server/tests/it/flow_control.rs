//! Replies that wait for their peer: for a flow-control window or for the socket, until one second
//! after the deadline.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use greet_server::CloseReason;
use greet_testkit::framing::framed;
use greet_testkit::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PING, RST_STREAM, WINDOW_UPDATE,
    call_headers, frame, header_block,
};
use greet_testkit::probe::{ProbeReply, ProbeRequest, Script};
use greet_testkit::{
    COLLECT, ECHO, EXPAND, H2Client, RawPeer, ScriptedProbe, TestServer, WAIT, closed,
    grpc_request, with_timeout,
};
use prost::Message as _;

use crate::support::samples::{ADMIN, scrape_until, scrape_when_idle};

/// A path and whether the request names an encoding, which the fast path does not serve.
const PATHS: [(&str, bool); 3] = [(ECHO, false), (ECHO, true), (EXPAND, false)];

/// Calls with a deadline of 300 ms, and reads until the server resets the stream.
async fn assert_reset_after_the_deadline(client: &H2Client, path: &str, has_encoding: bool) {
    let message = ProbeRequest::new(Script::Echo, [b'x'; 5_000], 3).encode_to_vec();
    let mut request = grpc_request(path, framed(&message));
    request.headers_mut().insert("grpc-timeout", "300m".parse().unwrap());
    if has_encoding {
        request.headers_mut().insert("grpc-encoding", "identity".parse().unwrap());
    }
    let started = Instant::now();
    let mut body = client.open(request).await.into_body();
    let mut received = 0;
    let error = loop {
        match with_timeout(body.data()).await.expect("the reply is not complete") {
            Ok(data) => received += data.len(),
            Err(error) => break error,
        }
    };
    let took = started.elapsed();
    assert_eq!((error.reason(), error.is_remote()), (Some(h2::Reason::CANCEL), true));
    assert_eq!(received, 10, "{path}");
    assert!(took >= Duration::from_millis(1_300) && took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn large_reply_without_a_window_is_reset_a_second_after_the_deadline() {
    let server = TestServer::with_probe(&[ADMIN], &ScriptedProbe::new());
    let client = server.connect_h2(|h2| _ = h2.initial_window_size(10)).await;
    let calls = PATHS
        .map(|(path, has_encoding)| assert_reset_after_the_deadline(&client, path, has_encoding));
    join_all(calls).await;

    let reply = client.send(grpc_request(ECHO, framed(b""))).await;
    assert_eq!(reply.body, framed(b""), "the connection stays usable");
    let samples = scrape_when_idle(&server).await;
    assert_eq!(samples.calls("probe.Probe/Echo", "CANCELLED"), 2);
    assert_eq!(samples.calls("probe.Probe/Expand", "CANCELLED"), 1);
    let report = server.stop().await;
    assert_eq!((report.answered, report.abandoned, report.cut), (1, 3, 0));
}

#[tokio::test]
async fn large_reply_arrives_whole_when_the_window_opens_late() {
    let flags = ["--max-message-bytes=65536"];
    let server = TestServer::with_probe(&flags, &ScriptedProbe::new());
    let mut peer = RawPeer::with_settings(server.tcp().await, &[INITIAL_WINDOW_SIZE, 0]).await;
    let payload: Vec<u8> = (0..40_000_u32).map(|position| position as u8).collect();
    let message = framed(&ProbeRequest::new(Script::Echo, payload.clone(), 2).encode_to_vec());
    let mut streams = Vec::new();
    for (stream, (path, has_encoding)) in [1_u32, 3, 5].into_iter().zip(PATHS) {
        let mut block = call_headers(path);
        if has_encoding {
            block.extend(header_block(&[("grpc-encoding", "identity")]));
        }
        peer.send(&frame(HEADERS, END_HEADERS, stream, &block)).await;
        for data in message.chunks(16_384) {
            peer.send(&frame(DATA, 0, stream, data)).await;
        }
        peer.send(&frame(DATA, END_STREAM, stream, &[])).await;
        peer.next_of(HEADERS).await;
        streams.push((stream, Vec::new()));
    }

    let reply = |count| framed(&ProbeReply { payload: payload.clone(), count }.encode_to_vec());
    let expected = [reply(2), reply(2), [reply(0), reply(1)].concat()];
    let mut ended = 0;
    for opened in [1, 4, 5_000, 16_384, 60_000] {
        let window = |stream, bytes: u32| frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
        peer.send(&window(0, 3 * opened)).await;
        for stream in [1, 3, 5] {
            peer.send(&window(stream, opened)).await;
        }
        let total = |streams: &[(u32, Vec<u8>)]| -> usize {
            streams.iter().map(|(_, received)| received.len()).sum()
        };
        let before = total(&streams);
        let left: usize = expected.iter().map(Vec::len).sum::<usize>() - before;
        let allowed = (3 * opened as usize).min(left);
        while total(&streams) < before + allowed {
            let frame = peer.next_frame().await;
            match frame.kind {
                DATA => {
                    let stream = streams.iter_mut().find(|(stream, _)| *stream == frame.stream);
                    stream.unwrap().1.extend(frame.payload);
                }
                HEADERS => ended += 1,
                RST_STREAM => panic!("{frame:?}"),
                _ => {}
            }
            if ended == 3 {
                break;
            }
        }
    }
    while ended < 3 {
        assert_eq!(peer.next_of(HEADERS).await.flags & END_STREAM, END_STREAM);
        ended += 1;
    }
    for ((_, received), expected) in streams.into_iter().zip(expected) {
        assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
    }
    drop(peer);
    assert_eq!(server.stop().await.answered, 3);
}

/// The window of a stream bounds what the server holds for a handler that does not read.
#[tokio::test]
async fn window_opens_as_the_handler_reads() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--max-message-bytes=32765"], &probe);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    peer.call(1, COLLECT, None).await;
    peer.send(&frame(DATA, 0, 1, &framed(WAIT))).await;
    probe.waits_begun(1).await;
    let message = framed(&ProbeRequest::new(Script::Echo, [b'x'; 16_000], 0).encode_to_vec());
    for _ in 0..4 {
        peer.send(&frame(DATA, 0, 1, &message)).await; // 64 044 of 65 540 bytes
    }
    // The second is answered after the tasks that the first turn woke.
    for _ in 0..2 {
        peer.send(&frame(PING, 0, 0, &[7; 8])).await;
        loop {
            let received = peer.next_frame().await;
            assert_ne!((received.kind, received.stream), (WINDOW_UPDATE, 1));
            if received.kind == PING {
                break;
            }
        }
    }
    probe.release(1);
    while peer.next_of(WINDOW_UPDATE).await.stream != 1 {}
    peer.send(&frame(DATA, END_STREAM, 1, &message)).await;
    let mut received = 0;
    while received < 5 * 16_000 {
        let data = peer.next_of(DATA).await;
        received += data.payload.len();
        let window = (data.payload.len() as u32).to_be_bytes();
        for stream in [0, 1] {
            peer.send(&frame(WINDOW_UPDATE, 0, stream, &window)).await;
        }
    }
    drop(peer);
    assert_eq!(server.stop().await.answered, 1);
}

/// The windows are open, but a reset would wait for the socket as the replies do.
async fn assert_closed_without_reading(calls: u32, reply_bytes: u32) {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[ADMIN, "--request-timeout=300ms"], &probe);
    let mut peer = RawPeer::slow(server.address()).await;
    let request = ProbeRequest::new(Script::Large, "", reply_bytes).encode_to_vec();
    for call in 0..calls {
        peer.call(2 * call + 1, ECHO, Some(&request)).await;
    }
    scrape_until(&server, |samples| samples.closed("reply_not_taken") == 1).await;
    drop(peer);
    let report = server.stop().await;
    assert_eq!(closed(&report, CloseReason::ReplyNotTaken), 1);
    assert_eq!((report.answered + report.abandoned, report.cut), (calls.into(), 0));
    assert!(report.abandoned > 0);
}

#[tokio::test]
async fn peer_that_never_reads_its_replies_is_closed() {
    assert_closed_without_reading(150, 60_000).await;
}

/// HTTP/2 takes only a part of such a reply into its buffer.
#[tokio::test]
async fn peer_that_never_reads_huge_replies_is_closed() {
    assert_closed_without_reading(3, 8_000_000).await;
}
