//! A call is over at its deadline, whoever set it, and says DEADLINE_EXCEEDED.

use std::time::Duration;

use greet_proto::HelloRequest;
use greet_testkit::RawPeer;
use greet_testkit::http2::{CANCEL, INITIAL_WINDOW_SIZE, RST_STREAM};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;

use crate::support::{Client, Faulty, SAY_HELLO, TestServer, framed, grpc_request, soon};

async fn wait_with_timeout(client: &Client, timeout: Duration) -> Status {
    let mut request = Request::new(HelloRequest { name: "wait".into() });
    request.set_timeout(timeout);
    soon(client.greeter().say_hello(request)).await.unwrap_err()
}

#[tokio::test]
async fn a_handler_that_hangs_is_dropped_at_the_clients_deadline() {
    let server = TestServer::with_greeter(&[], Faulty::new()).await;
    let client = server.connect().await;
    let status = wait_with_timeout(&client, Duration::from_millis(50)).await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "the deadline of 50ms passed");
    let outcome = server.stop().await;
    assert_eq!((outcome.answered, outcome.cut), (1, 0));
}

#[tokio::test]
async fn the_servers_own_limit_holds_when_the_client_gives_more_or_none() {
    let server = TestServer::with_greeter(&["--request-timeout=50ms"], Faulty::new()).await;
    let client = server.connect().await;
    let status = wait_with_timeout(&client, Duration::from_secs(600)).await;
    assert_eq!(status.message(), "the deadline of 50ms passed");
    let status = soon(client.say_hello("wait")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for_beyond_the_deadline() {
    let server = TestServer::start(&["--request-timeout=50ms"]).await;
    let client = server.connect().await;
    let never = tokio_stream::pending::<Result<http_body::Frame<bytes::Bytes>, Status>>();
    let body = tonic::body::Body::new(http_body_util::StreamBody::new(never));
    let request = grpc_request(SAY_HELLO, "").map(|_| body);
    let response = soon(tower_service::Service::call(&mut client.clone(), request)).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
}

#[tokio::test]
async fn a_watch_whose_request_never_comes_is_bounded_like_any_call() {
    let server = TestServer::start(&["--request-timeout=50ms"]).await;
    let client = server.connect().await;
    let never = tokio_stream::pending::<Result<http_body::Frame<bytes::Bytes>, Status>>();
    let body = tonic::body::Body::new(http_body_util::StreamBody::new(never));
    let request = grpc_request("/grpc.health.v1.Health/Watch", "").map(|_| body);
    let response = soon(tower_service::Service::call(&mut client.clone(), request)).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
}

/// Replies wait for as long as the peer gives no window; but not for longer than a call may take.
#[tokio::test]
async fn a_peer_without_a_window_gets_its_streams_reset_when_their_time_is_over() {
    let server = TestServer::start(&["--request-timeout=100ms"]).await;
    let mut peer = RawPeer::with_settings(server.tcp().await, &[INITIAL_WINDOW_SIZE, 0]).await;
    for stream in [1, 3, 5] {
        peer.call(stream, SAY_HELLO, Some(b"\x0a\x03Ada")).await;
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
    let outcome = server.stop().await;
    assert_eq!((outcome.answered, outcome.abandoned, outcome.cut), (0, 3, 0));
}

#[tokio::test]
async fn no_time_at_all_is_too_little_even_for_a_greeting() {
    let server = TestServer::start(&[]).await;
    let mut request = grpc_request(SAY_HELLO, framed(b""));
    request.headers_mut().insert("grpc-timeout", "0n".parse().unwrap());
    let answer = server.connect().await.send(request).await;
    assert_eq!(answer.grpc_status(), Some(Code::DeadlineExceeded as i32));
}

#[tokio::test]
async fn a_timeout_that_is_none_is_internal() {
    let server = TestServer::start(&[]).await;
    let client = server.connect().await;
    for malformed in ["", "1", "S", "-1S", "123456789S", "1x", "soon"] {
        let mut request = grpc_request(SAY_HELLO, framed(b""));
        request.headers_mut().insert("grpc-timeout", malformed.parse().unwrap());
        let answer = client.send(request).await;
        assert_eq!(answer.grpc_status(), Some(Code::Internal as i32), "{malformed:?}");
    }
}

#[tokio::test]
async fn a_watch_ends_at_its_clients_deadline_and_not_at_the_servers() {
    let server = TestServer::start(&["--request-timeout=50ms"]).await;
    let client = server.connect().await;
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(Duration::from_millis(200));
    let mut statuses = client.health().watch(request).await.unwrap().into_inner();
    assert!(soon(statuses.message()).await.unwrap().is_some());
    let status = soon(statuses.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "the deadline of 200ms passed");
}
