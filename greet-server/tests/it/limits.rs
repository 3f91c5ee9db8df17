//! Limits of messages, calls, streams and headers: each at its value and one above.

use greet_testkit::framing::framed;
use greet_testkit::http2::{PREFACE, SETTINGS, settings};
use greet_testkit::probe::{ProbeRequest, Script};
use greet_testkit::{ECHO, RawPeer, ScriptedProbe, TestServer, grpc_request, with_timeout};
use tonic::Code;
use tonic::codec::CompressionEncoding;

#[tokio::test]
async fn message_over_the_limit_is_resource_exhausted() {
    let server = TestServer::start(&["--max-message-bytes=1000"]);
    let client = server.connect().await;
    let message = |bytes: usize| {
        let name = "x".repeat(bytes - 3);
        let length = u8::try_from(name.len() & 0x7f).unwrap() | 0x80;
        let high_bits = u8::try_from(name.len() >> 7).unwrap();
        framed(&[&[0x0a, length, high_bits], name.as_bytes()].concat())
    };
    let response = client.send(grpc_request(ECHO, message(1_000))).await;
    assert_eq!(response.grpc_status(), Some(Code::Ok as i32));
    let response = client.send(grpc_request(ECHO, message(1_001))).await;
    assert_eq!(response.grpc_status(), Some(Code::ResourceExhausted as i32));
    assert!(client.echo("Ada").await.is_ok(), "the connection stays usable");
}

/// The codec has its own limit, 4 MiB by default.
#[tokio::test]
async fn message_limit_may_exceed_the_default_of_the_codec() {
    let flags = ["--max-message-bytes=6000000"];
    let server = TestServer::with_probe(&flags, &ScriptedProbe::new());
    let client = server.connect().await;
    let payload = vec![b'x'; 5_000_000];
    let probe = client.probe().max_decoding_message_size(6_000_000);
    for mut probe in [probe.clone(), probe.send_compressed(CompressionEncoding::Gzip)] {
        let reply = probe.echo(ProbeRequest::new(Script::Echo, payload.clone(), 0)).await;
        assert!(reply.unwrap().into_inner().payload == payload);
    }
}

#[tokio::test]
async fn announced_length_over_the_limit_is_refused_before_the_bytes() {
    let server = TestServer::start(&[]);
    let client = server.connect().await;
    for length in [16_385_u32, u32::MAX] {
        let announced = [&[0][..], &length.to_be_bytes()].concat();
        let response = client.send(grpc_request(ECHO, announced)).await;
        assert_eq!(response.grpc_status(), Some(Code::ResourceExhausted as i32), "{length}");
    }
}

#[tokio::test]
async fn client_runs_no_more_calls_than_max_streams() {
    let probe = ScriptedProbe::new();
    let flags = ["--max-streams=3", "--workers=1"];
    let server = TestServer::with_probe(&flags, &probe);
    let client = server.connect().await;
    assert!(client.run(Script::Echo).await.is_ok(), "the client has the SETTINGS");
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.run(Script::Wait).await })
        })
        .collect();
    probe.waits_begun(3).await;
    // A fourth request would reach the worker before this one.
    server.connect().await.run(Script::Echo).await.unwrap();
    assert_eq!(probe.runs(), 5, "the fourth call waits in the client");

    probe.release(1);
    probe.waits_begun(1).await;
    probe.release(3);
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn call_over_max_in_flight_fails_and_is_not_queued() {
    let probe = ScriptedProbe::new();
    let flags = ["--max-in-flight=3", "--workers=2"];
    let server = TestServer::with_probe(&flags, &probe);
    let clients = [server.connect().await, server.connect().await];
    let waiting: Vec<_> = (0..3)
        .map(|call| {
            let client = clients[call % 2].clone();
            tokio::spawn(async move { client.run(Script::Wait).await })
        })
        .collect();
    probe.waits_begun(3).await;
    for client in &clients {
        let status = with_timeout(client.run(Script::Echo)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
    probe.release(3);
    for call in waiting {
        call.await.unwrap().unwrap();
    }
    for client in &clients {
        client.run(Script::Echo).await.unwrap();
    }
    let report = server.stop().await;
    assert_eq!((report.answered, report.abandoned), (7, 0));
}

#[tokio::test]
async fn settings_on_the_wire_are_the_documented_ones() {
    let server = TestServer::start(&["--max-streams=7"]);
    let mut peer = RawPeer { tcp: server.tcp().await };
    peer.send(&[PREFACE, &settings(&[])].concat()).await;
    let frame = peer.next_frame().await;
    assert_eq!(frame.kind, SETTINGS);
    let settings: Vec<(u8, u32)> = frame
        .payload
        .chunks(6)
        .map(|setting| (setting[1], u32::from_be_bytes(setting[2..].try_into().unwrap())))
        .collect();
    assert_eq!(
        settings,
        [
            (1, 512),    // HEADER_TABLE_SIZE
            (3, 7),      // MAX_CONCURRENT_STREAMS
            (4, 65_535), // INITIAL_WINDOW_SIZE: at least that of HTTP/2
            (6, 8_192),  // MAX_HEADER_LIST_SIZE
        ]
    );
}

#[tokio::test]
async fn headers_over_the_limit_are_431() {
    let server = TestServer::start(&[]);
    let client = server.connect().await;
    let mut request = grpc_request(ECHO, framed(b""));
    request.headers_mut().insert("x", "x".repeat(7_500).parse().unwrap());
    assert_eq!(client.send(request).await.status, 200);

    let mut request = grpc_request(ECHO, framed(b""));
    request.headers_mut().insert("x", "x".repeat(8_192).parse().unwrap());
    assert_eq!(client.send(request).await.status, 431);
    assert!(client.echo("Ada").await.is_ok(), "the connection stays usable");
}
