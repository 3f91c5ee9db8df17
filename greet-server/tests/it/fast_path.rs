//! SayHello without compression takes a shorter way than the generated one. Nobody can tell: both
//! answer the same, byte for byte. A `grpc-encoding` header, whatever it says, asks for the long one.

use greet_proto::{Greeter, HelloReply, HelloRequest};
use http::{HeaderValue, Request};
use tonic::{Code, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::support::{Answer, Client, SAY_HELLO, TestServer, framed, grpc_request};

/// Uses everything that a handler may use.
#[derive(Clone)]
struct Elaborate;

#[tonic::async_trait]
impl Greeter for Elaborate {
    async fn say_hello(
        &self,
        request: tonic::Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let heard = request.metadata().get("x-asked").cloned();
        let message = format!("{} in {:?}", request.get_ref().name, request.extensions().len());
        let mut response = Response::new(HelloReply { message });
        let metadata = response.metadata_mut();
        match request.get_ref().name.as_str() {
            "panic" => panic!("as asked"),
            "fail" => {
                let details = ErrorDetails::with_bad_request_violation("name", "is \u{1f600}");
                let mut status =
                    Status::with_error_details(Code::Aborted, "no, \u{1f600} 100 %", details);
                status.metadata_mut().insert("x-more", "of it".parse().unwrap());
                return Err(status);
            }
            "metadata" => {
                metadata.insert("x-heard", heard.unwrap());
                metadata.append("x-twice", "a".parse().unwrap());
                metadata.append("x-twice", "b".parse().unwrap());
                metadata
                    .insert_bin("x-bytes-bin", tonic::metadata::MetadataValue::from_bytes(b"\0"));
            }
            "reserved" => {
                for name in ["te", "content-type", "grpc-status", "grpc-message"] {
                    let name = tonic::metadata::MetadataKey::from_bytes(name.as_bytes()).unwrap();
                    metadata.insert(name, "7".parse().unwrap());
                }
            }
            _ => {}
        }
        Ok(response)
    }
}

fn say_hello(body: &[u8]) -> Request<bytes::Bytes> {
    let mut request = grpc_request(SAY_HELLO, body.to_vec());
    request.headers_mut().insert("x-asked", HeaderValue::from_static("so"));
    request
}

/// The answers to the same, by either way.
async fn both(client: &Client, request: impl Fn() -> Request<bytes::Bytes>) -> [Answer; 2] {
    let short = client.send(request()).await;
    let mut long = request();
    long.headers_mut().insert("grpc-encoding", HeaderValue::from_static("identity"));
    [short, client.send(long).await]
}

#[tokio::test]
async fn both_ways_answer_the_same_whatever_the_handler_does() {
    let server = TestServer::with_greeter(&["--instance=a"], Elaborate).await;
    let client = server.connect().await;
    let long = "x".repeat(20_000);
    for name in ["Ada", "", "Zo\u{eb}", long.as_str(), "fail", "metadata", "reserved", "panic"] {
        let message = prost::Message::encode_to_vec(&HelloRequest { name: name.into() });
        let [short, generated] = both(&client, || say_hello(&framed(&message))).await;
        assert_eq!(short, generated, "{name}");
        assert_eq!(short.headers["greet-instance"], "a");
    }
}

#[tokio::test]
async fn both_ways_say_the_same_of_a_bad_request() {
    let server = TestServer::start(&["--max-message-bytes=1000"]).await;
    let client = server.connect().await;
    let hello = framed(b"\x0a\x03Ada");
    let requests: [&[u8]; 17] = [
        &hello,
        b"",
        b"\0",
        b"\0\0\0\0",
        b"\0\0\0\0\0",
        b"\0\0\0\0\x05\x0a",
        &[&hello[..], &hello].concat(),
        &[&hello[..], b"\0"].concat(),
        b"\x01\0\0\0\0",
        b"\x02\0\0\0\0",
        b"\xff\0\0\0\x05\x0a\x03Ada",
        &framed(b"\xff\xff\xff"),
        &framed(b"\x0a\x05Ada"),
        &framed(b"\x0a\x02\xc3\x28"),
        &framed(b"\x08\x01"),
        &framed(&[0x10; 1_000]),
        &framed(&[0x10; 1_001]),
    ];
    for body in requests {
        let [short, generated] = both(&client, || say_hello(body)).await;
        assert_eq!(short, generated, "{body:?}");
    }
    for timeout in ["1H", "0n", "soon"] {
        let [short, generated] = both(&client, || {
            let mut request = say_hello(&hello);
            request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
            request
        })
        .await;
        assert_eq!(short, generated, "{timeout}");
    }
}
