//! The main thing: every name gets its greeting, and nothing is added that nobody asked for.

use std::collections::BTreeMap;

use greet_proto::HelloRequest;
use http::HeaderMap;

use crate::support::{Faulty, SAY_HELLO, TestServer, framed, grpc_request};

#[tokio::test]
async fn the_reply_is_hello_and_the_name() {
    let server = TestServer::start(&[]).await;
    let client = server.connect().await;
    for name in ["Ada", "", " ", "line\nbreak", "nul\0", "Zoë", "\u{1f600}"] {
        assert_eq!(client.say_hello(name).await.unwrap(), format!("Hello {name}"));
    }
    assert_eq!(server.stop().await.answered, 7);
}

#[tokio::test]
async fn a_hundred_calls_at_once_on_one_connection_are_all_answered() {
    let server = TestServer::start(&[]).await;
    let client = server.connect().await;
    let calls = (0..100).map(|number| {
        let client = client.clone();
        tokio::spawn(async move { client.say_hello(&number.to_string()).await })
    });
    for (number, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), format!("Hello {number}"));
    }
}

#[tokio::test]
async fn connections_are_spread_evenly_over_the_workers() {
    let server = TestServer::with_greeter(&["--workers=4"], Faulty::new()).await;
    let mut connections = Vec::new();
    let mut by_thread = BTreeMap::<String, u32>::new();
    for _ in 0..12 {
        let client = server.connect().await;
        let thread = client.say_hello("thread").await.unwrap();
        *by_thread.entry(thread).or_default() += 1;
        connections.push(client);
    }
    let threads = (0..4).map(|number| (format!("greet-worker-{number}"), 3));
    assert_eq!(by_thread, threads.collect());
}

#[tokio::test]
async fn without_an_instance_the_reply_has_the_headers_of_grpc_and_no_other() {
    let server = TestServer::start(&[]).await;
    let request = grpc_request(SAY_HELLO, framed(b"\x0a\x03Ada"));
    let answer = server.connect().await.send(request).await;
    assert_eq!(names(&answer.headers), ["content-type"]);
    assert_eq!(answer.headers["content-type"], "application/grpc");
    assert_eq!(names(&answer.trailers), ["grpc-status"]);
    assert_eq!(answer.grpc_status(), Some(0));
}

#[tokio::test]
async fn with_an_instance_every_reply_names_it_failures_too() {
    let server = TestServer::start(&["--instance=blue"]).await;
    let client = server.connect().await;
    let request = HelloRequest { name: "Ada".into() };
    let reply = client.greeter().say_hello(request).await.unwrap();
    assert_eq!(reply.metadata().get("greet-instance").unwrap(), "blue");

    let answer = client.send(grpc_request("/no.Such/Method", "")).await;
    assert_eq!(answer.headers["greet-instance"], "blue");
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(http::HeaderName::as_str).collect()
}
