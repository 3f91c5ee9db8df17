//! Serves a peer that reads nothing for a while. h2 stops at a PING whose acknowledgement it cannot
//! write: the call behind it waits, and must not count as rejected.

use greet_testkit::ScriptedProbe;
use greet_testkit::http2::{
    DEFAULT_WINDOW, INITIAL_WINDOW_SIZE, MAX_WINDOW, PING, PREFACE, WINDOW_UPDATE, call, frame,
    settings,
};
use greet_testkit::probe::probe_server::ProbeServer;
use greet_testkit::probe::{ProbeRequest, Script};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::task::{LocalSet, yield_now};

use super::test_connection::TestConnection;
use crate::grpc::Service;
use crate::net::transport::MAX_READ;

const ECHO: &str = "/probe.Probe/Echo";
/// Above what the stream and h2 hold.
const LARGE_REPLY_BYTES: u32 = 200_000;

async fn call_behind_a_ping() {
    let probe = ScriptedProbe::new();
    let (server_end, mut peer) = duplex(16 * 1_024);
    let connection = TestConnection::serve(server_end, MAX_READ, {
        let probe = probe.clone();
        move |config| vec![Service::of::<ProbeServer<_>>(config, probe.clone())]
    })
    .await;
    let large = ProbeRequest::new(Script::Large, "", LARGE_REPLY_BYTES).encode_to_vec();
    let open_window = (MAX_WINDOW - DEFAULT_WINDOW).to_be_bytes();
    let start = [
        PREFACE.to_vec(),
        settings(&[INITIAL_WINDOW_SIZE, MAX_WINDOW]),
        frame(WINDOW_UPDATE, 0, 0, &open_window),
        call(1, ECHO, Some(&large)),
    ];
    peer.write_all(&start.concat()).await.unwrap();
    while probe.replies() == 0 {
        yield_now().await;
    }
    let behind = [frame(PING, 0, 0, &[0; 8]), call(3, ECHO, Some(b""))];
    peer.write_all(&behind.concat()).await.unwrap();
    for _ in 0..100 {
        yield_now().await; // far more turns than a call needs
    }
    assert_eq!(probe.replies(), 1, "the call behind the PING waits");
    assert_eq!(connection.metrics.requests_rejected.get(), 0);

    while connection.metrics.calls_answered.get() < 2 {
        peer.read_buf(&mut Vec::new()).await.unwrap();
    }
    assert_eq!(connection.metrics.requests_rejected.get(), 0);
}

#[tokio::test]
async fn call_behind_a_ping_is_answered_and_not_rejected() {
    LocalSet::new().run_until(call_behind_a_ping()).await;
}
