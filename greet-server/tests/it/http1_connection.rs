//! HTTP/1.1 connections: keep-alive, idle timeout, maximum age, drain, unread replies.

use greet_server::CloseReason;
use greet_testkit::framing::framed;
use greet_testkit::{ECHO, ScriptedProbe, TestServer, WAIT, closed, eventually, with_timeout};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tonic::Code;

use crate::support::http1;

const WEB: &str = "--grpc-web";
const BINARY: &str = "application/grpc-web+proto";
const ADA: &[u8] = b"\x0a\x03Ada";

/// Encodes a gRPC-Web request.
fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: {BINARY}\r\n\
         content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A persistent connection, as a browser keeps it.
struct Persistent(TcpStream);

impl Persistent {
    /// Calls Echo.
    async fn call(&mut self) {
        self.0.write_all(&request(ECHO, &framed(ADA))).await.unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b"0\r\n\r\n") {
            let read = with_timeout(self.0.read_buf(&mut response)).await.unwrap();
            assert!(read > 0, "{response:?}");
        }
    }

    /// Reads until the server has closed.
    async fn closed(&mut self) {
        let _ = with_timeout(self.0.read_to_end(&mut Vec::new())).await;
    }
}

#[tokio::test]
async fn connection_is_kept_alive_until_the_idle_timeout() {
    let server = TestServer::start(&[WEB, "--handshake-timeout=500ms"]);
    let mut idle = Persistent(server.tcp().await);
    idle.call().await;
    idle.call().await;
    idle.closed().await;
    let mut incomplete = Persistent(server.tcp().await);
    incomplete.0.write_all(format!("POST {ECHO} HTTP/1.1\r\n").as_bytes()).await.unwrap();
    incomplete.closed().await;
    let report = server.stop().await;
    assert_eq!(report.answered, 2);
    assert_eq!(closed(&report, CloseReason::Http1Idle), 2);
}

#[tokio::test]
async fn connection_closes_at_its_maximum_age() {
    let server = TestServer::start(&[WEB, "--max-connection-age=300ms"]);
    let mut old = Persistent(server.tcp().await);
    old.call().await;
    old.closed().await;
    let report = server.stop().await;
    assert_eq!(closed(&report, CloseReason::MaxConnectionAge), 1);
}

#[tokio::test]
async fn drain_closes_an_idle_connection_and_answers_a_call_in_flight() {
    let probe = ScriptedProbe::new();
    let mut server = TestServer::with_probe(&[WEB], &probe);
    let mut idle = Persistent(server.tcp().await);
    idle.call().await;
    let address = server.address().to_owned();
    let in_flight = tokio::spawn(async move {
        let head = format!("POST {ECHO} HTTP/1.1\r\ncontent-type: {BINARY}");
        http1::request(&address, &head, &framed(WAIT)).await
    });
    probe.waits_begun(1).await;
    server.drain();
    idle.closed().await;
    probe.release(1);
    assert_eq!(in_flight.await.unwrap().status, 200);
    let report = server.stop().await;
    assert_eq!((report.answered, report.exit_code()), (2, 0));
}

#[tokio::test]
async fn peer_that_does_not_read_its_reply_is_closed() {
    let flags =
        [WEB, "--max-message-bytes=65536", "--request-timeout=500ms", "--handshake-timeout=1h"];
    let server = TestServer::start(&flags);
    // A small window: the kernel would take replies of several MiB, each of which renews the deadline.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut tcp = socket.connect(server.address().parse().unwrap()).await.unwrap();
    let message = [&b"\x0a\xe0\xd4\x03"[..], &[b'x'; 60_000]].concat();
    let request = request(ECHO, &framed(&message));
    with_timeout(async { while tcp.write_all(&request).await.is_ok() {} }).await;
    let report = server.stop().await;
    assert_eq!(closed(&report, CloseReason::ReplyNotTaken), 1);
}

#[tokio::test]
async fn health_watch_streams_over_http1_and_ends_with_the_drain() {
    let mut server = TestServer::start(&[WEB]);
    let mut tcp = server.tcp().await;
    let watch = request("/grpc.health.v1.Health/Watch", &framed(b""));
    tcp.write_all(&watch).await.unwrap();
    let mut response = Vec::new();
    let serving = b"\0\0\0\0\x02\x08\x01";
    while !response.windows(serving.len()).any(|bytes| bytes == serving) {
        assert!(with_timeout(tcp.read_buf(&mut response)).await.unwrap() > 0);
    }
    server.drain();
    with_timeout(tcp.read_to_end(&mut response)).await.unwrap();
    let unavailable = format!("grpc-status: {}\r\n", Code::Unavailable as i32);
    assert!(String::from_utf8_lossy(&response).contains(&unavailable), "{response:?}");
    server.stop().await;
}

#[tokio::test]
async fn incomplete_head_does_not_delay_the_drain() {
    let flags = [WEB, "--handshake-timeout=1h", "--admin-listen=127.0.0.1:0"];
    let mut server = TestServer::start(&flags);
    let mut incomplete = Persistent(server.tcp().await);
    incomplete.0.write_all(b"POST /pr").await.unwrap();
    let sample = "\ngreet_connections_open 1\n";
    let is_counted = async || http1::get(server.admin(), "/metrics").await.text().contains(sample);
    eventually("the connection is counted", is_counted).await;
    server.drain();
    incomplete.closed().await;
    let report = server.stop().await;
    assert_eq!((report.exit_code(), closed(&report, CloseReason::Drained)), (0, 1));
}
