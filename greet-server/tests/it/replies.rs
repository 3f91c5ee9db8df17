//! Replies: concurrent calls, their headers, and the distribution of connections over the workers.

use std::collections::BTreeMap;

use greet_testkit::framing::framed;
use greet_testkit::probe::{ProbeRequest, Script};
use greet_testkit::{ECHO, TestServer, grpc_request};
use http::HeaderMap;

#[tokio::test]
async fn hundred_concurrent_calls_on_one_connection_are_answered() {
    let server = TestServer::start(&[]);
    let client = server.connect().await;
    let calls = (0..100).map(|number| {
        let client = client.clone();
        tokio::spawn(async move { client.echo(&number.to_string()).await })
    });
    for (number, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), number.to_string());
    }
    assert_eq!(server.stop().await.answered, 100);
}

#[tokio::test]
async fn connections_are_distributed_evenly_over_the_workers() {
    let server = TestServer::start(&["--workers=4"]);
    let mut connections = Vec::new();
    let mut by_thread = BTreeMap::<String, u32>::new();
    for _ in 0..12 {
        let client = server.connect().await;
        let thread = client.run(Script::Thread).await.unwrap().payload;
        *by_thread.entry(String::from_utf8(thread).unwrap()).or_default() += 1;
        connections.push(client);
    }
    let threads = (0..4).map(|number| (format!("greet-worker-{number}"), 3));
    assert_eq!(by_thread, threads.collect());
}

#[tokio::test]
async fn reply_without_instance_has_only_the_headers_of_grpc() {
    let server = TestServer::start(&[]);
    let request = grpc_request(ECHO, framed(b"\x0a\x03Ada"));
    let response = server.connect().await.send(request).await;
    assert_eq!(names(&response.headers), ["content-type"]);
    assert_eq!(response.headers["content-type"], "application/grpc");
    assert_eq!(names(&response.trailers), ["grpc-status"]);
    assert_eq!(response.grpc_status(), Some(0));
}

#[tokio::test]
async fn every_response_names_the_instance() {
    let server = TestServer::start(&["--instance=blue"]);
    let client = server.connect().await;
    let reply = client.probe().echo(ProbeRequest::default()).await.unwrap();
    assert_eq!(reply.metadata().get("greet-instance").unwrap(), "blue");

    let response = client.send(grpc_request("/no.Such/Method", "")).await;
    assert_eq!(response.headers["greet-instance"], "blue");
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(http::HeaderName::as_str).collect()
}
