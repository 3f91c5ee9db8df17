//! Capacity is shared fairly: a few connections with as many calls as they may open, complete or not,
//! take the service from no other client.

use std::time::{Duration, Instant};

use greet_proto::grpc::health::v1::{HealthCheckRequest, HealthListRequest};
use greet_testkit::framing::framed;
use greet_testkit::http2::{
    DATA, END_HEADERS, HEADERS, INITIAL_WINDOW_SIZE, call, call_headers, frame, header_block,
};
use greet_testkit::probe::{ProbeReply, ProbeRequest, Script};
use greet_testkit::{
    COLLECT, Client, ECHO, EXPAND, RawPeer, ScriptedProbe, TestServer, WAIT, eventually,
    with_timeout,
};
use tonic::{Code, Status, Streaming};

use crate::support::samples::{ADMIN, Samples, scrape_until};

const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Connections of an attack, each with `--max-streams` calls: three times the limits of these tests.
const CONNECTIONS: usize = 15;
const CALLS: u32 = 200;
const LIMITS: [&str; 3] = ["--max-in-flight=1000", "--max-streaming-calls=1000", ADMIN];

/// Makes calls of every kind beside `CONNECTIONS` peers with `CALLS` calls each, which stay open.
async fn attack(settings: &[u32], path: &str, message: Option<&[u8]>) {
    let server = TestServer::start(&LIMITS);
    let good = server.connect().await;
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut peer = RawPeer::with_settings(server.tcp().await, settings).await;
        let calls = (0..CALLS).flat_map(|number| call(2 * number + 1, path, message));
        peer.send(&calls.collect::<Vec<_>>()).await;
        peers.push(peer);
    }
    let all_calls = CONNECTIONS as u64 * u64::from(CALLS);
    let started = |samples: &Samples| samples.sum("grpc_server_call_started_total");
    scrape_until(&server, |samples| started(samples) >= all_calls).await;
    for _ in 0..50 {
        assert_eq!(good.echo("Ada").await.unwrap(), "Ada");
        let client = server.connect().await;
        assert_eq!(client.echo("Ada").await.unwrap(), "Ada");
        assert!(client.health().check(HealthCheckRequest::default()).await.is_ok());
        let watch = with_timeout(client.health().watch(HealthCheckRequest::default())).await;
        assert!(with_timeout(watch.unwrap().get_mut().message()).await.unwrap().is_some());
    }
    drop(peers);
}

#[tokio::test]
async fn calls_without_a_message_take_no_capacity() {
    attack(&[], ECHO, None).await;
}

#[tokio::test]
async fn calls_whose_peer_takes_no_reply_leave_capacity_to_others() {
    attack(&[INITIAL_WINDOW_SIZE, 0], ECHO, Some(b"")).await;
}

#[tokio::test]
async fn watches_leave_capacity_to_others() {
    attack(&[], WATCH, Some(b"")).await;
}

#[tokio::test]
async fn streaming_calls_without_a_message_leave_capacity_to_others() {
    attack(&[], WATCH, None).await;
}

/// A busy server is not an unhealthy one.
#[tokio::test]
async fn health_checks_are_answered_at_the_limit_of_calls() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--max-in-flight=1"], &probe);
    let client = server.connect().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.run(Script::Wait).await }
    });
    probe.waits_begun(1).await;
    let refused = client.run(Script::Echo).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::ResourceExhausted, "too many concurrent calls")
    );
    assert!(client.health().check(HealthCheckRequest::default()).await.is_ok());
    assert!(client.health().list(HealthListRequest::default()).await.is_ok());
    probe.release(1);
    waiting.await.unwrap().unwrap();
    assert!(client.run(Script::Echo).await.is_ok());
}

/// Opens a stream that waits for its release.
async fn expand(client: &Client) -> Result<Streaming<ProbeReply>, Status> {
    let request = ProbeRequest::new(Script::Wait, "", 1);
    Ok(with_timeout(client.probe().expand(request)).await?.into_inner())
}

#[tokio::test]
async fn streaming_call_over_the_limit_is_resource_exhausted() {
    let flags =
        ["--max-streaming-calls=3", "--max-streaming-calls-per-connection=2", "--max-in-flight=1"];
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&flags, &probe);
    let first = server.connect().await;
    let refused = Some((Code::ResourceExhausted, "too many concurrent streaming calls".to_owned()));
    let error = |result: Result<Streaming<ProbeReply>, Status>| {
        result.err().map(|status| (status.code(), status.message().to_owned()))
    };
    let open = [expand(&first).await.unwrap(), expand(&first).await.unwrap()];
    assert_eq!(error(expand(&first).await), refused, "the connection has two");
    let second = server.connect().await;
    let third = expand(&second).await.unwrap();
    assert_eq!(error(expand(&second).await), refused, "the server has three");
    assert!(first.run(Script::Echo).await.is_ok(), "unary calls have a limit of their own");

    drop(open);
    let is_admitted = async || expand(&second).await.is_ok();
    eventually("the next streaming call is admitted", is_admitted).await;
    drop(third);
}

/// A request that does not end, on every path: the message is missing, or only its end.
#[tokio::test]
async fn request_that_does_not_arrive_ends_with_deadline_exceeded() {
    let flags = ["--message-timeout=300ms", ADMIN];
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&flags, &probe);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let encoded = header_block(&[("grpc-encoding", "gzip")]);
    let requests = [(ECHO, &[][..]), (ECHO, &encoded[..]), (EXPAND, &[][..])];
    let started = Instant::now();
    let mut streams = (1..).step_by(2);
    for (path, headers) in requests {
        for message in [None, Some(framed(b""))] {
            let stream = streams.next().unwrap();
            let block = [&call_headers(path)[..], headers].concat();
            peer.send(&frame(HEADERS, END_HEADERS, stream, &block)).await;
            if let Some(message) = message {
                peer.send(&frame(DATA, 0, stream, &message)).await;
            }
        }
    }
    // A client that streams may take its time.
    peer.call(101, COLLECT, None).await;
    for _ in 0..6 {
        assert!(peer.next_of(HEADERS).await.stream < 101);
    }
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(probe.runs(), 1, "only that of the client that streams");
    let samples = scrape_until(&server, |samples| {
        samples.sum("grpc_server_call_duration_seconds_count") >= 6
    });
    let samples = samples.await;
    assert_eq!(samples.calls(&ECHO[1..], "DEADLINE_EXCEEDED"), 4);
    assert_eq!(samples.calls(&EXPAND[1..], "DEADLINE_EXCEEDED"), 2);

    // A handler may take longer than a request.
    peer.call(103, ECHO, Some(WAIT)).await;
    probe.waits_begun(1).await;
    scrape_until(&server, |_| started.elapsed() >= Duration::from_millis(700)).await;
    probe.release(1);
    assert_eq!(peer.next_of(DATA).await.stream, 103);
}

#[tokio::test]
async fn admitted_calls_are_a_metric() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[ADMIN], &probe);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    peer.call(1, ECHO, None).await;
    peer.call(3, ECHO, Some(WAIT)).await;
    probe.waits_begun(1).await;
    peer.call(5, COLLECT, None).await;
    let admitted = |samples: &Samples| {
        ["unary", "streaming"]
            .map(|kind| samples.get(&format!("greet_calls_admitted{{kind=\"{kind}\"}}")))
    };
    let samples = scrape_until(&server, |samples| admitted(samples) == [1, 1]).await;
    assert_eq!(samples.get("greet_calls_in_flight"), 3);
    drop(peer);
    scrape_until(&server, |samples| admitted(samples) == [0, 0]).await;
}
