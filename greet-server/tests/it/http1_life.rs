//! A connection over HTTP/1.1 from its first head to its end: kept for the next call, told to go, and
//! closed for what HTTP/2 would reset a stream for.

use std::time::Duration;

use greet_server::CloseReason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

use crate::http1::{ask, get};
use crate::support::{Faulty, SAY_HELLO, TestServer, closed, eventually, framed, soon};

const WEB: &str = "--grpc-web";
const BINARY: &str = "application/grpc-web+proto";
const ADA: &[u8] = b"\x0a\x03Ada";

/// One connection, as browsers keep it.
struct Kept(tokio::net::TcpStream);

impl Kept {
    async fn say_hello(&mut self) {
        let body = framed(ADA);
        let head = format!(
            "POST {SAY_HELLO} HTTP/1.1\r\nhost: test\r\ncontent-type: {BINARY}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"0\r\n\r\n") {
            assert!(soon(self.0.read_buf(&mut answer)).await.unwrap() > 0, "{answer:?}");
        }
    }

    async fn is_closed(&mut self) {
        let _ = soon(self.0.read_to_end(&mut Vec::new())).await;
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_call_and_closed_when_none_comes() {
    let server = TestServer::start(&[WEB, "--handshake-timeout=500ms"]).await;
    let mut kept = Kept(server.tcp().await);
    kept.say_hello().await;
    kept.say_hello().await;
    kept.is_closed().await;
    let mut half = Kept(server.tcp().await);
    half.0.write_all(b"POST /greet.Greeter/SayHello HTTP/1.1\r\n").await.unwrap();
    half.is_closed().await;
    let outcome = server.stop().await;
    assert_eq!(outcome.answered, 2);
    assert_eq!(closed(&outcome, CloseReason::Http1Idle), 2);
}

#[tokio::test]
async fn an_age_and_a_drain_are_told_over_http_1_too() {
    let server = TestServer::start(&[WEB, "--max-connection-age=300ms"]).await;
    let mut old = Kept(server.tcp().await);
    old.say_hello().await;
    old.is_closed().await;
    let outcome = server.stop().await;
    assert_eq!(closed(&outcome, CloseReason::MaxConnectionAge), 1);

    let greeter = Faulty::new();
    let mut server = TestServer::with_greeter(&[WEB], greeter.clone()).await;
    let mut idle = Kept(server.tcp().await);
    idle.say_hello().await;
    let address = server.address().to_owned();
    let in_flight = tokio::spawn(async move {
        let head = format!("POST {SAY_HELLO} HTTP/1.1\r\ncontent-type: {BINARY}");
        ask(&address, &head, &framed(b"\x0a\x04wait")).await
    });
    greeter.has_begun(1).await;
    server.drain();
    idle.is_closed().await;
    greeter.release.add_permits(1);
    assert_eq!(in_flight.await.unwrap().status, 200);
    let outcome = server.outcome().await;
    assert_eq!((outcome.answered, outcome.exit_code()), (2, 0));
}

#[tokio::test]
async fn a_peer_that_does_not_take_its_reply_is_closed() {
    let flags =
        [WEB, "--max-name-bytes=60000", "--request-timeout=500ms", "--handshake-timeout=1h"];
    let server = TestServer::start(&flags).await;
    let mut tcp = server.tcp().await;
    let name = [&b"\x0a\xe0\xd4\x03"[..], &[b'x'; 60_000]].concat();
    let body = framed(&name);
    let head = format!(
        "POST {SAY_HELLO} HTTP/1.1\r\nhost: test\r\ncontent-type: {BINARY}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), &body].concat();
    // Writes until the server has gone, and reads nothing.
    let gone = async { while tcp.write_all(&request).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(15), gone).await.expect("it is closed");
    let outcome = server.stop().await;
    assert_eq!(closed(&outcome, CloseReason::ReplyNotTaken), 1);
}

#[tokio::test]
async fn a_health_watch_streams_to_a_browser_and_ends_with_the_drain() {
    let mut server = TestServer::start(&[WEB]).await;
    let mut tcp = server.tcp().await;
    let body = framed(b"");
    let head = format!(
        "POST /grpc.health.v1.Health/Watch HTTP/1.1\r\nhost: test\r\ncontent-type: {BINARY}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    tcp.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    let mut answer = Vec::new();
    let serving = b"\0\0\0\0\x02\x08\x01";
    while !answer.windows(serving.len()).any(|bytes| bytes == serving) {
        assert!(soon(tcp.read_buf(&mut answer)).await.unwrap() > 0);
    }
    server.drain();
    soon(tcp.read_to_end(&mut answer)).await.unwrap();
    let unavailable = format!("grpc-status: {}\r\n", Code::Unavailable as i32);
    assert!(String::from_utf8_lossy(&answer).contains(&unavailable), "{answer:?}");
    server.outcome().await;
}

#[tokio::test]
async fn half_a_head_holds_no_drain() {
    let flags = [WEB, "--handshake-timeout=1h", "--admin-listen=127.0.0.1:0"];
    let mut server = TestServer::start(&flags).await;
    let mut half = Kept(server.tcp().await);
    half.0.write_all(b"POST /gr").await.unwrap();
    let is_open = "\ngreet_connections_open 1\n";
    let opened = async || get(server.admin(), "/metrics").await.text().contains(is_open);
    eventually("the connection is counted", opened).await;
    server.drain();
    half.is_closed().await;
    let outcome = server.outcome().await;
    assert_eq!((outcome.exit_code(), closed(&outcome, CloseReason::Drained)), (0, 1));
}
