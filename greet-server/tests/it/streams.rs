//! Streams: a panic fails its own call only, a stream ends at its deadline and in a drain as its
//! method declares, and every message arrives and is counted.

use std::time::{Duration, Instant};

use greet_server::{AtDrain, Service};
use greet_testkit::framing::framed;
use greet_testkit::probe::probe_server::ProbeServer;
use greet_testkit::probe::{ProbeReply, ProbeRequest, Script};
use greet_testkit::{
    COLLECT, Client, ECHO, EXPAND, RELAY, ScriptedProbe, TestServer, eventually, grpc_request,
    with_timeout,
};
use http::Request;
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status, Streaming};

use crate::support::samples::{ADMIN, Samples, scrape_until, scrape_when_idle};

/// Reads replies to their end. Returns the count of each, and the status.
async fn read(mut replies: Streaming<ProbeReply>) -> (Vec<u32>, Status) {
    let mut counts = Vec::new();
    loop {
        match with_timeout(replies.message()).await {
            Ok(Some(reply)) => counts.push(reply.count),
            Ok(None) => return (counts, Status::ok("")),
            Err(status) => return (counts, status),
        }
    }
}

async fn expand(client: &Client, request: ProbeRequest) -> Streaming<ProbeReply> {
    with_timeout(client.probe().expand(request)).await.unwrap().into_inner()
}

/// Starts a server with the probe, on which a drain ends the streams of Expand.
fn start_ending_at_drain(probe: &ScriptedProbe) -> TestServer {
    let probe = probe.clone();
    TestServer::with_services(&["--drain-timeout=1h"], move |config| {
        let service = Service::of::<ProbeServer<_>>(config, probe.clone());
        vec![service.at_drain("Expand", AtDrain::End)]
    })
}

/// Starts a drain, and waits for the end of the listener: then the phase is Draining.
async fn drain(server: &mut TestServer) {
    let address = server.address().to_owned();
    server.drain();
    let is_refused = async || TcpStream::connect(&address).await.is_err();
    eventually("the listener is closed", is_refused).await;
}

#[tokio::test]
async fn panic_in_a_reply_stream_is_internal_for_its_call_only() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--workers=1"], &probe);
    let client = server.connect().await;
    let open = expand(&client, ProbeRequest::new(Script::Wait, "", 2)).await;
    probe.waits_begun(1).await;

    for count in [0, 1, 3] {
        // The codec may not have passed on the messages before the panic.
        let panicking = expand(&client, ProbeRequest::new(Script::Panic, "", count)).await;
        let (_, status) = read(panicking).await;
        assert_eq!((status.code(), status.message()), (Code::Internal, "the handler failed"));
    }
    let (sender, requests) = mpsc::channel(1);
    let relayed = client.probe().relay(ReceiverStream::new(requests)).await.unwrap();
    let mut relayed = relayed.into_inner();
    for _ in 0..3 {
        sender.send(ProbeRequest::new(Script::Panic, "", 3)).await.unwrap();
        assert!(with_timeout(relayed.message()).await.unwrap().is_some());
    }
    sender.send(ProbeRequest::new(Script::Panic, "", 3)).await.unwrap();
    let (counts, status) = read(relayed).await;
    assert_eq!((counts.len(), status.message()), (0, "the handler failed"));
    let in_handler = ProbeRequest::new(Script::PanicInHandler, "", 0);
    for status in [
        client.probe().expand(in_handler.clone()).await.unwrap_err(),
        client.probe().collect(tokio_stream::iter([in_handler])).await.unwrap_err(),
    ] {
        assert_eq!((status.code(), status.message()), (Code::Internal, "the handler failed"));
    }

    probe.release(2);
    assert_eq!(read(open).await.0, [0, 1]);
    let report = server.stop().await;
    assert_eq!((report.answered, report.abandoned, report.cut), (7, 0, 0));
}

/// Whatever the handler waits for: its own event, a message, or the window of the peer.
#[tokio::test]
async fn reset_stream_drops_its_handler_and_no_other() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--workers=1"], &probe);
    let client = server.connect_h2(|_| {}).await;
    let wait = ProbeRequest::new(Script::Wait, "", 1).encode_to_vec();
    let waiting = tokio::spawn({
        let client = client.clone();
        let request = grpc_request(EXPAND, framed(&wait));
        async move { client.send(request).await }
    });
    probe.waits_begun(1).await;
    let endless = ProbeRequest::new(Script::Endless, [0; 1_000], 0).encode_to_vec();
    let calls = [
        (EXPAND, Some(&wait)),
        (EXPAND, Some(&endless)),
        (COLLECT, Some(&wait)),
        (COLLECT, None),
        (RELAY, Some(&wait)),
        (RELAY, None),
        (ECHO, Some(&wait)), // not on the fast path, as all of these
    ];
    for (number, (path, message)) in (2..).zip(calls) {
        let (mut head, _) = grpc_request(path, "").into_parts();
        head.headers.insert("grpc-encoding", "identity".parse().unwrap());
        let (response, mut stream) = client.start(Request::from_parts(head, ())).await;
        if let Some(message) = message {
            stream.send_data(framed(message).into(), [ECHO, EXPAND].contains(&path)).unwrap();
        }
        eventually("the handler runs", async || probe.runs() == number).await;
        if message == Some(&wait) {
            probe.waits_begun(1).await;
        }
        stream.send_reset(h2::Reason::CANCEL);
        probe.calls_ended(1).await;
        drop(response);
    }
    probe.release(1);
    assert_eq!(waiting.await.unwrap().grpc_status(), Some(Code::Ok as i32));
    let report = server.stop().await;
    assert_eq!((report.answered, report.abandoned, report.cut), (1, 7, 0));
}

#[tokio::test]
async fn failure_reaches_a_client_that_still_sends() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[], &probe);
    let client = server.connect().await;
    let requests =
        tokio_stream::iter(std::iter::repeat(ProbeRequest::new(Script::Fail, [0; 1_000], 3)));
    let relayed = client.probe().relay(requests).await.unwrap().into_inner();
    let (_, status) = read(relayed).await;
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "the script fails"));
    client.run(Script::Echo).await.unwrap();
    assert_eq!(server.stop().await.answered, 2);
}

#[tokio::test]
async fn endless_stream_ends_at_its_deadline() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--workers=1"], &probe);
    let client = server.connect().await;
    let mut request = tonic::Request::new(ProbeRequest::new(Script::Endless, [b'a'; 4_000], 0));
    request.set_timeout(Duration::from_millis(300));
    let started = Instant::now();
    let replies = client.probe().expand(request).await.unwrap().into_inner();
    let (counts, status) = read(replies).await;
    let took = started.elapsed();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert_eq!(status.message(), "the deadline of 300ms passed", "in trailers of the server");
    assert!(!counts.is_empty());
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(4), "{took:?}");
    probe.calls_ended(1).await;
    let report = server.stop().await;
    assert_eq!((report.answered, report.abandoned), (1, 0));
}

/// The status needs no window, so it does not wait for one.
#[tokio::test]
async fn endless_stream_without_a_window_gets_its_status_at_the_deadline() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[], &probe);
    let client = server.connect_h2(|h2| _ = h2.initial_window_size(0)).await;
    let message = ProbeRequest::new(Script::Endless, "a", 0).encode_to_vec();
    let mut request = grpc_request(EXPAND, framed(&message));
    request.headers_mut().insert("grpc-timeout", "300m".parse().unwrap());
    let started = Instant::now();
    let response = client.send(request).await;
    let took = started.elapsed();
    assert_eq!(response.grpc_status(), Some(Code::DeadlineExceeded as i32));
    assert!(response.body.is_empty());
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn drain_ends_an_endless_stream_whose_method_ends_at_drain() {
    let probe = ScriptedProbe::new();
    let mut server = start_ending_at_drain(&probe);
    let client = server.connect().await;
    let endless = expand(&client, ProbeRequest::new(Script::Endless, "a", 0)).await;
    let waiting = expand(&client, ProbeRequest::new(Script::Wait, "a", 1)).await;
    let reading = [tokio::spawn(read(endless)), tokio::spawn(read(waiting))];
    eventually("the endless stream runs", async || probe.replies() > 1_000).await;

    server.drain();
    for stream in reading {
        let (_, status) = with_timeout(stream).await.unwrap();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(status.message(), "the server is draining");
    }
    let report = server.stop().await;
    assert_eq!((report.answered, report.cut, report.exit_code()), (2, 0, 0));
}

#[tokio::test]
async fn finite_streams_finish_in_a_drain() {
    let probe = ScriptedProbe::new();
    let mut server = TestServer::with_probe(&["--drain-timeout=1h"], &probe);
    let client = server.connect().await;
    let mut replies = expand(&client, ProbeRequest::new(Script::Wait, "a", 20)).await;
    probe.release(1);
    assert_eq!(replies.message().await.unwrap().unwrap().count, 0);
    let (sender, requests) = mpsc::channel(1);
    let relayed = client.probe().relay(ReceiverStream::new(requests)).await.unwrap();
    let mut relayed = relayed.into_inner();
    sender.send(ProbeRequest::new(Script::Echo, "a", 7)).await.unwrap();
    assert_eq!(relayed.message().await.unwrap().unwrap().count, 7);

    drain(&mut server).await;
    for count in 1..20 {
        probe.release(1);
        let reply = with_timeout(replies.message()).await.unwrap();
        assert_eq!(reply.map(|reply| reply.count), Some(count));
    }
    assert_eq!(replies.message().await.unwrap(), None);
    sender.send(ProbeRequest::new(Script::Echo, "a", 8)).await.unwrap();
    drop(sender);
    assert_eq!(read(relayed).await.0, [8]);
    let report = server.stop().await;
    assert_eq!((report.answered, report.cut, report.exit_code()), (2, 0, 0));
}

#[tokio::test]
async fn stream_that_is_open_at_the_drain_timeout_is_cut() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--drain-timeout=200ms"], &probe);
    let client = server.connect().await;
    let mut replies = expand(&client, ProbeRequest::new(Script::Wait, "a", 20)).await;
    probe.release(1);
    assert_eq!(replies.message().await.unwrap().unwrap().count, 0);
    let started = Instant::now();
    let report = server.stop().await;
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!((report.answered, report.cut, report.exit_code()), (0, 1, 3));
    let (counts, status) = read(replies).await;
    assert!(counts.is_empty() && status.code() != Code::Ok, "{counts:?} {status}");
}

#[tokio::test]
async fn messages_are_counted_while_their_stream_is_open() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[ADMIN], &probe);
    let client = server.connect().await;
    let (relay_sender, requests) = mpsc::channel(1);
    let relayed = client.probe().relay(ReceiverStream::new(requests)).await.unwrap();
    let mut relayed = relayed.into_inner();
    for count in 1..=3 {
        relay_sender.send(ProbeRequest::new(Script::Echo, "a", count)).await.unwrap();
        assert_eq!(with_timeout(relayed.message()).await.unwrap().unwrap().count, count);
        let samples = Samples::scrape(&server).await;
        assert_eq!(samples.messages("probe.Probe/Relay"), (count.into(), count.into()));
    }

    let (collect_sender, requests) = mpsc::channel(1);
    let collecting = tokio::spawn({
        let mut client = client.probe();
        async move { client.collect(ReceiverStream::new(requests)).await }
    });
    for sent in 1..=4 {
        collect_sender.send(ProbeRequest::new(Script::Echo, "a", 0)).await.unwrap();
        let is_counted = |samples: &Samples| samples.messages("probe.Probe/Collect") == (sent, 0);
        scrape_until(&server, is_counted).await;
    }

    let mut expanded = expand(&client, ProbeRequest::new(Script::Wait, "a", 2)).await;
    probe.release(1);
    assert!(with_timeout(expanded.message()).await.unwrap().is_some());
    assert_eq!(Samples::scrape(&server).await.messages("probe.Probe/Expand"), (1, 1));

    drop((relay_sender, collect_sender));
    assert_eq!(with_timeout(collecting).await.unwrap().unwrap().into_inner().count, 4);
    probe.release(1);
    read(expanded).await;
    read(relayed).await;
    let samples = scrape_when_idle(&server).await;
    assert_eq!(samples.messages("probe.Probe/Relay"), (3, 3));
    assert_eq!(samples.messages("probe.Probe/Collect"), (4, 1));
    assert_eq!(samples.messages("probe.Probe/Expand"), (1, 2));
    assert_eq!(samples.messages("probe.Probe/Echo"), (0, 0));
}

/// Several messages share a DATA frame here, and large ones need several.
#[tokio::test]
async fn every_message_of_a_stream_arrives_and_is_counted() {
    const MESSAGES: u32 = 1_000;
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[ADMIN, "--max-message-bytes=65536"], &probe);
    let client = server.connect().await;
    let payload =
        |position: u32| vec![b'x'; if position.is_multiple_of(100) { 40_000 } else { 20 }];
    let requests = || {
        let requests = (0..MESSAGES)
            .map(move |position| ProbeRequest::new(Script::Echo, payload(position), position));
        tokio_stream::iter(requests)
    };

    let relayed = client.probe().relay(requests()).await.unwrap().into_inner();
    let (counts, status) = read(relayed).await;
    assert_eq!(status.code(), Code::Ok, "{status}");
    assert_eq!(counts, (0..MESSAGES).collect::<Vec<_>>());

    let collected = with_timeout(client.probe().collect(requests())).await.unwrap().into_inner();
    let bytes: usize = (0..MESSAGES).map(|position| payload(position).len()).sum();
    assert_eq!((collected.count, collected.payload.len()), (MESSAGES, bytes));

    let expanded = expand(&client, ProbeRequest::new(Script::Echo, payload(0), MESSAGES)).await;
    assert_eq!(read(expanded).await.0, counts);

    for mut client in [
        client.probe(),
        client.probe().send_compressed(CompressionEncoding::Gzip), // not on the fast path
    ] {
        client.echo(ProbeRequest::new(Script::Echo, "a", 0)).await.unwrap();
        client.echo(ProbeRequest::new(Script::Fail, "a", 0)).await.unwrap_err();
    }

    let samples = scrape_when_idle(&server).await;
    let messages = u64::from(MESSAGES);
    assert_eq!(samples.messages("probe.Probe/Relay"), (messages, messages));
    assert_eq!(samples.messages("probe.Probe/Collect"), (messages, 1));
    assert_eq!(samples.messages("probe.Probe/Expand"), (1, messages));
    assert_eq!(samples.messages("probe.Probe/Echo"), (4, 2));
}
