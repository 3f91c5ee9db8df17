//! Deadlines: a call ends with DEADLINE_EXCEEDED at the earlier of the client's and the server's.

use std::time::Duration;

use greet_proto::grpc::health::v1::HealthCheckRequest;
use greet_testkit::framing::framed;
use greet_testkit::http2::{CANCEL, INITIAL_WINDOW_SIZE, RST_STREAM};
use greet_testkit::probe::{ProbeRequest, Script};
use greet_testkit::{Client, ECHO, RawPeer, ScriptedProbe, TestServer, grpc_request, with_timeout};
use tonic::{Code, Request, Status};

async fn wait_with_timeout(client: &Client, timeout: Duration) -> Status {
    let mut request = Request::new(ProbeRequest::new(Script::Wait, "", 0));
    request.set_timeout(timeout);
    with_timeout(client.probe().echo(request)).await.unwrap_err()
}

#[tokio::test]
async fn hanging_handler_is_dropped_at_the_client_deadline() {
    let server = TestServer::with_probe(&[], &ScriptedProbe::new());
    let client = server.connect().await;
    let status = wait_with_timeout(&client, Duration::from_millis(50)).await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "the deadline of 50ms passed");
    let report = server.stop().await;
    assert_eq!((report.answered, report.cut), (1, 0));
}

#[tokio::test]
async fn request_timeout_applies_without_an_earlier_client_deadline() {
    let server = TestServer::with_probe(&["--request-timeout=50ms"], &ScriptedProbe::new());
    let client = server.connect().await;
    let status = wait_with_timeout(&client, Duration::from_secs(600)).await;
    assert_eq!(status.message(), "the deadline of 50ms passed");
    let status = with_timeout(client.run(Script::Wait)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

/// Calls `path` with a request body that never arrives.
async fn assert_deadline_exceeded_without_body(path: &str) {
    let server = TestServer::start(&["--request-timeout=50ms"]);
    let client = server.connect().await;
    let never = tokio_stream::pending::<Result<http_body::Frame<bytes::Bytes>, Status>>();
    let body = tonic::body::Body::new(http_body_util::StreamBody::new(never));
    let request = grpc_request(path, "").map(|_| body);
    let response = tower_service::Service::call(&mut client.clone(), request);
    let response = with_timeout(response).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
}

#[tokio::test]
async fn missing_request_body_ends_at_the_deadline() {
    assert_deadline_exceeded_without_body(ECHO).await;
}

#[tokio::test]
async fn watch_without_a_request_ends_at_the_request_timeout() {
    assert_deadline_exceeded_without_body("/grpc.health.v1.Health/Watch").await;
}

/// A reply waits for the peer's flow-control window, at most until the deadline.
#[tokio::test]
async fn streams_without_a_window_are_reset_at_the_deadline() {
    let server = TestServer::start(&["--request-timeout=100ms"]);
    let mut peer = RawPeer::with_settings(server.tcp().await, &[INITIAL_WINDOW_SIZE, 0]).await;
    for stream in [1, 3, 5] {
        peer.call(stream, ECHO, Some(b"\x0a\x03Ada")).await;
    }
    let mut reset = Vec::new();
    while reset.len() < 3 {
        let frame = peer.next_frame().await;
        if frame.kind == RST_STREAM {
            assert_eq!(frame.payload, CANCEL);
            reset.push(frame.stream);
        }
    }
    reset.sort_unstable();
    assert_eq!(reset, [1, 3, 5]);
    drop(peer);
    let report = server.stop().await;
    assert_eq!((report.answered, report.abandoned, report.cut), (0, 3, 0));
}

#[tokio::test]
async fn zero_timeout_is_deadline_exceeded() {
    let server = TestServer::start(&[]);
    let mut request = grpc_request(ECHO, framed(b""));
    request.headers_mut().insert("grpc-timeout", "0n".parse().unwrap());
    let response = server.connect().await.send(request).await;
    assert_eq!(response.grpc_status(), Some(Code::DeadlineExceeded as i32));
}

#[tokio::test]
async fn malformed_timeout_is_internal() {
    let server = TestServer::start(&[]);
    let client = server.connect().await;
    for malformed in ["", "1", "S", "-1S", "123456789S", "1x", "soon"] {
        let mut request = grpc_request(ECHO, framed(b""));
        request.headers_mut().insert("grpc-timeout", malformed.parse().unwrap());
        let response = client.send(request).await;
        assert_eq!(response.grpc_status(), Some(Code::Internal as i32), "{malformed:?}");
    }
}

#[tokio::test]
async fn watch_ends_at_the_client_deadline_and_not_at_request_timeout() {
    let server = TestServer::start(&["--request-timeout=50ms"]);
    let client = server.connect().await;
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(Duration::from_millis(200));
    let mut statuses = client.health().watch(request).await.unwrap().into_inner();
    assert!(with_timeout(statuses.message()).await.unwrap().is_some());
    let status = with_timeout(statuses.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "the deadline of 200ms passed");
}
