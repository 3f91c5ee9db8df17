//! Small messages and small frames: an honest client may send as many as its windows allow.

use bytes::Bytes;
use greet_server::CloseReason;
use greet_testkit::framing::framed;
use greet_testkit::http2::{
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, SETTINGS, call, call_headers,
    frame,
};
use greet_testkit::probe::{ProbeReply, ProbeRequest, Script};
use greet_testkit::{
    COLLECT, ECHO, RELAY, RawPeer, ScriptedProbe, TestServer, WAIT, closed, grpc_request,
    with_timeout,
};
use prost::Message as _;

/// Messages of a burst; h2 allows 2 056 small DATA frames that no handler has read.
const MESSAGES: u32 = 20_000;
/// A message of 20 bytes, in a field that the probe does not know.
const SMALL: &[u8] = b"\x7a\x12eighteen bytes... ";

fn reply(count: u32) -> Vec<u8> {
    framed(&ProbeReply { count, ..ProbeReply::default() }.encode_to_vec())
}

/// The handler that waits reads nothing meanwhile.
#[tokio::test]
async fn burst_of_small_messages_is_accepted_with_all_windows_open() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--max-message-bytes=1000000"], &probe);
    for first in [SMALL, WAIT] {
        let mut peer = RawPeer::connect(server.tcp().await).await;
        peer.send(&frame(SETTINGS, ACK, 0, &[])).await; // from here, the window is that of the SETTINGS
        peer.call(1, COLLECT, None).await;
        let mut burst = frame(DATA, 0, 1, &framed(first));
        let message = frame(DATA, 0, 1, &framed(SMALL));
        burst.extend(message.repeat(MESSAGES as usize));
        peer.send(&burst).await;
        if first == WAIT {
            probe.waits_begun(1).await;
            probe.release(1);
        }
        peer.send(&frame(DATA, END_STREAM, 1, &[])).await;
        assert_eq!(peer.next_of(DATA).await.payload, reply(MESSAGES + 1), "{first:?}");
    }
    assert_eq!(closed(&server.stop().await, CloseReason::ProtocolError), 0);
}

/// The wake-up comes from another thread, so the call is in the queue that its worker checks last. The
/// connection has further turns before.
#[tokio::test]
async fn burst_of_small_messages_is_accepted_after_another_thread_wakes_the_handler() {
    const WAKE_UPS: usize = 5;
    /// More than one turn reads.
    const TURN: usize = 600;
    const BURST: u32 = 5_000;
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--workers=1", "--max-message-bytes=1000000"], &probe);
    for _ in 0..WAKE_UPS {
        let mut peer = RawPeer::connect(server.tcp().await).await;
        peer.send(&frame(SETTINGS, ACK, 0, &[])).await;
        peer.call(1, COLLECT, None).await;
        peer.send(&frame(DATA, 0, 1, &framed(WAIT))).await;
        probe.waits_begun(1).await;

        let small = framed(SMALL);
        let block = ProbeRequest::new(Script::Block, "", 0).encode_to_vec();
        let mut turn = call(3, ECHO, Some(&block));
        turn.extend(frame(HEADERS, END_HEADERS, 5, &call_headers(COLLECT)));
        turn.extend(frame(DATA, 0, 5, &small).repeat(TURN));
        peer.send(&turn).await;
        probe.waits_begun(1).await;
        let mut burst = frame(DATA, 0, 1, &small).repeat(BURST as usize);
        burst.extend(frame(DATA, END_STREAM, 1, &[]));
        let wake = async { probe.release(2) }; // the handler first, then the worker
        tokio::join!(peer.send(&burst), wake);
        let collected = async {
            loop {
                let data = peer.next_of(DATA).await;
                if data.stream == 1 {
                    return data.payload;
                }
            }
        };
        assert_eq!(with_timeout(collected).await, reply(BURST + 1));
    }
    assert_eq!(closed(&server.stop().await, CloseReason::ProtocolError), 0);
}

#[tokio::test]
async fn burst_of_small_messages_is_relayed_as_flow_control_allows() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[], &probe);
    let client = server.connect_h2(|_| {}).await;
    let (head, _) = grpc_request(RELAY, "").into_parts();
    let (response, mut stream) = client.start(http::Request::from_parts(head, ())).await;
    let message = Bytes::from(framed(SMALL));
    for _ in 0..MESSAGES {
        stream.send_data(message.clone(), false).unwrap();
    }
    stream.send_data(Bytes::new(), true).unwrap();
    let mut body = with_timeout(response).await.unwrap().into_body();
    let mut received = 0;
    while let Some(data) = with_timeout(body.data()).await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        received += data.len();
    }
    assert_eq!(received, MESSAGES as usize * reply(0).len());
    let trailers = with_timeout(body.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

/// More frames than h2 allows unread, for handlers that read them at once, and for handlers that
/// wait.
#[tokio::test]
async fn calls_in_frames_of_one_byte_are_answered_when_they_end() {
    const STREAMS: u32 = 100;
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--workers=1"], &probe);
    let mut peer = RawPeer::with_settings(server.tcp().await, &[INITIAL_WINDOW_SIZE, 1_000]).await;
    let streams = || (0..STREAMS).map(|call| 2 * call + 1);
    let is_unary = |stream| stream % 4 == 1;
    for stream in streams() {
        let path = if is_unary(stream) { ECHO } else { COLLECT };
        peer.send(&frame(HEADERS, END_HEADERS, stream, &call_headers(path))).await;
        if !is_unary(stream) {
            peer.send(&frame(DATA, 0, stream, &framed(WAIT))).await;
        }
    }
    probe.waits_begun(STREAMS / 2).await;
    let message = framed(&ProbeRequest::new(Script::Echo, [b'x'; 60], 0).encode_to_vec());
    for byte in &message {
        let round = streams().flat_map(|stream| frame(DATA, 0, stream, &[*byte]));
        peer.send(&round.collect::<Vec<_>>()).await;
    }
    assert_eq!(probe.replies(), 0);
    assert!(server.connect().await.probe().echo(ProbeRequest::default()).await.is_ok());

    probe.release(STREAMS as usize / 2);
    for stream in streams() {
        peer.send(&frame(DATA, END_STREAM, stream, &[])).await;
    }
    let mut answered = Vec::new();
    while answered.len() < STREAMS as usize {
        let data = peer.next_of(DATA).await;
        let count = if is_unary(data.stream) { 0 } else { 2 };
        let expected = ProbeReply { payload: vec![b'x'; 60], count };
        assert_eq!(data.payload, framed(&expected.encode_to_vec()));
        answered.push(data.stream);
    }
    answered.sort_unstable();
    assert_eq!(answered, streams().collect::<Vec<_>>());
    drop(peer);
    assert_eq!(closed(&server.stop().await, CloseReason::ProtocolError), 0);
}
