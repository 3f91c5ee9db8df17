//! gzip requests. The message limit applies to the decompressed bytes.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use greet_testkit::framing::framed;
use greet_testkit::{Client, ECHO, TestServer, WireResponse, grpc_request};
use tonic::Code;

/// Calls Echo with `message`, compressed.
async fn send_compressed(client: &Client, message: &[u8]) -> WireResponse {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(message).unwrap();
    send_gzip(client, &gzip.finish().unwrap()).await
}

/// Calls Echo with a message of gzip bytes.
async fn send_gzip(client: &Client, compressed: &[u8]) -> WireResponse {
    let length = u32::try_from(compressed.len()).unwrap().to_be_bytes();
    let mut request = grpc_request(ECHO, [&[1][..], &length, compressed].concat());
    request.headers_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    client.send(request).await
}

#[tokio::test]
async fn compressed_request_is_answered_uncompressed() {
    let server = TestServer::start(&[]);
    let response = send_compressed(&server.connect().await, b"\x0a\x03Ada").await;
    assert_eq!(response.grpc_status(), Some(Code::Ok as i32));
    assert_eq!(response.headers.get("grpc-encoding"), None);
}

/// As `cat` of two gzip files is one (RFC 1952, section 2.2).
#[tokio::test]
async fn every_member_of_a_gzip_message_is_decompressed() {
    let server = TestServer::start(&[]);
    let client = server.connect().await;
    let members = [&b"\x0a\x05He"[..], b"len"].map(|member| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(member).unwrap();
        gzip.finish().unwrap()
    });
    let response = send_gzip(&client, &members.concat()).await;
    assert_eq!(response.grpc_status(), Some(Code::Ok as i32));
    assert_eq!(response.body, framed(b"\x0a\x05Helen"));

    let trailing_bytes = [&members[0][..], b"junk"].concat();
    let response = send_gzip(&client, &trailing_bytes).await;
    assert_eq!(response.grpc_status(), Some(Code::Internal as i32));
}

#[tokio::test]
async fn message_limit_applies_to_decompressed_bytes() {
    let server = TestServer::start(&["--max-message-bytes=1000"]);
    let client = server.connect().await;
    // A message of any length, because the decoder skips the unknown field 15.
    let message = |bytes: usize| {
        let length = [
            u8::try_from((bytes - 3) & 0x7f).unwrap() | 0x80,
            u8::try_from((bytes - 3) >> 7).unwrap(),
        ];
        [&[0x7a], &length[..], &vec![0; bytes - 3]].concat()
    };
    let response = send_compressed(&client, &message(1_000)).await;
    assert_eq!(response.grpc_status(), Some(Code::Ok as i32));
    let response = send_compressed(&client, &message(1_001)).await;
    assert_eq!(response.grpc_status(), Some(Code::ResourceExhausted as i32));
    assert!(client.echo("Ada").await.is_ok(), "the connection stays usable");
}

#[tokio::test]
async fn invalid_gzip_is_internal() {
    let server = TestServer::start(&[]);
    let mut request = grpc_request(ECHO, &b"\x01\0\0\0\x04junk"[..]);
    request.headers_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    let response = server.connect().await.send(request).await;
    assert_eq!(response.grpc_status(), Some(Code::Internal as i32));
}

#[tokio::test]
async fn decompression_bomb_is_resource_exhausted() {
    let server = TestServer::start(&[]);
    let client = server.connect().await;
    let response = send_compressed(&client, &vec![0; 10_000_000]).await; // 10 KiB on the wire
    assert_eq!(response.grpc_status(), Some(Code::ResourceExhausted as i32));
    assert!(client.echo("Ada").await.is_ok());
}
