//! Requests may be compressed with gzip; what is bounded is what they hold.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tonic::Code;

use crate::support::{Answer, Client, SAY_HELLO, TestServer, grpc_request};

/// A SayHello whose message is `message`, compressed.
async fn send_compressed(client: &Client, message: &[u8]) -> Answer {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(message).unwrap();
    let compressed = gzip.finish().unwrap();
    let length = u32::try_from(compressed.len()).unwrap().to_be_bytes();
    let mut request = grpc_request(SAY_HELLO, [&[1][..], &length, &compressed].concat());
    request.headers_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    client.send(request).await
}

#[tokio::test]
async fn a_compressed_request_is_answered() {
    let server = TestServer::start(&[]).await;
    let answer = send_compressed(&server.connect().await, b"\x0a\x03Ada").await;
    assert_eq!(answer.grpc_status(), Some(Code::Ok as i32));
    assert_eq!(answer.headers.get("grpc-encoding"), None, "the reply is not, nobody asked");
}

#[tokio::test]
async fn what_a_message_holds_may_have_the_limit_and_no_byte_more() {
    let server = TestServer::start(&["--max-message-bytes=1000"]).await;
    let client = server.connect().await;
    // Field 2 is unknown, and skipped: the message is as long as we like and says nothing.
    let message = |bytes: usize| {
        let more = [
            u8::try_from((bytes - 3) & 0x7f).unwrap() | 0x80,
            u8::try_from((bytes - 3) >> 7).unwrap(),
        ];
        [&[0x12], &more[..], &vec![0; bytes - 3]].concat()
    };
    let answer = send_compressed(&client, &message(1_000)).await;
    assert_eq!(answer.grpc_status(), Some(Code::Ok as i32));
    let answer = send_compressed(&client, &message(1_001)).await;
    assert_eq!(answer.grpc_status(), Some(Code::ResourceExhausted as i32));
    assert!(client.say_hello("Ada").await.is_ok(), "the connection goes on");
}

#[tokio::test]
async fn what_cannot_be_decompressed_is_internal() {
    let server = TestServer::start(&[]).await;
    let mut request = grpc_request(SAY_HELLO, &b"\x01\0\0\0\x04junk"[..]);
    request.headers_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    let answer = server.connect().await.send(request).await;
    assert_eq!(answer.grpc_status(), Some(Code::Internal as i32));
}

#[tokio::test]
async fn a_bomb_is_refused() {
    let server = TestServer::start(&[]).await;
    let client = server.connect().await;
    let answer = send_compressed(&client, &vec![0; 50_000_000]).await; // 48 KiB compressed
    assert_eq!(answer.grpc_status(), Some(Code::ResourceExhausted as i32));
    assert!(client.say_hello("Ada").await.is_ok());
}
