//! The published status codes (grpc statuscodes.md) of failures before, in and after the handler.

use bytes::Bytes;
use greet_testkit::ScriptedProbe;
use greet_testkit::probe::Script;
use http::Request;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{SAY_HELLO, TestServer, framed, grpc_request};

/// Calls SayHello with `body` and returns the status.
async fn status_of(body: impl Into<Bytes>) -> Code {
    let server = TestServer::start(&[]).await;
    let response = server.connect().await.send(grpc_request(SAY_HELLO, body)).await;
    assert_eq!(response.status, 200);
    Code::from_i32(response.grpc_status().expect("a response has a status"))
}

#[tokio::test]
async fn unknown_method_or_service_is_unimplemented() {
    let server = TestServer::start(&[]).await;
    let client = server.connect().await;
    let paths = [
        "/greet.Greeter/NoSuchMethod",
        "/greet.Greeter/sayhello",
        "/greet.Greeter/SayHello/",
        "//greet.Greeter/SayHello",
        "/greet.Greeter/Say%48ello",
        "/no.Such/Method",
        "/",
    ];
    for path in paths {
        let response = client.send(grpc_request(path, framed(b""))).await;
        assert_eq!(response.grpc_status(), Some(Code::Unimplemented as i32), "{path}");
    }
}

#[tokio::test]
async fn malformed_protobuf_is_internal() {
    assert_eq!(status_of(framed(b"\xff\xff\xff")).await, Code::Internal);
    assert_eq!(status_of(framed(b"\x0a\x05Ada")).await, Code::Internal, "truncated field");
    assert_eq!(status_of(framed(b"\x0a\x02\xc3\x28")).await, Code::Internal, "not UTF-8");
    assert_eq!(status_of(framed(b"\x08\x01")).await, Code::Internal, "name is a number");
}

#[tokio::test]
async fn unknown_fields_and_repeated_names_are_accepted() {
    assert_eq!(status_of(framed(b"\x10\x01\x0a\x03Ada")).await, Code::Ok);
    assert_eq!(status_of(framed(b"\x0a\x01A\x0a\x01B")).await, Code::Ok);
}

#[tokio::test]
async fn truncated_message_is_internal() {
    assert_eq!(status_of(&b"\0\0\0\0\x05\x0a"[..]).await, Code::Internal);
    assert_eq!(status_of(&b"\0\0"[..]).await, Code::Internal);
}

#[tokio::test]
async fn unary_call_without_exactly_one_message_is_unimplemented() {
    assert_eq!(status_of("").await, Code::Unimplemented);
    let two = [framed(b""), framed(b"")].concat();
    assert_eq!(status_of(two).await, Code::Unimplemented);
}

#[tokio::test]
async fn compressed_flag_without_an_encoding_is_internal() {
    assert_eq!(status_of(&b"\x01\0\0\0\0"[..]).await, Code::Internal);
    assert_eq!(status_of(&b"\x02\0\0\0\0"[..]).await, Code::Internal, "undefined flag");
}

#[tokio::test]
async fn unsupported_encoding_is_unimplemented_with_accept_encoding() {
    let server = TestServer::start(&[]).await;
    let mut request = grpc_request(SAY_HELLO, framed(b""));
    let encoding = "snappy".parse().unwrap();
    request.headers_mut().insert("grpc-encoding", encoding);
    let response = server.connect().await.send(request).await;
    assert_eq!(response.grpc_status(), Some(Code::Unimplemented as i32));
    assert_eq!(response.headers["grpc-accept-encoding"], "gzip,identity");
}

#[tokio::test]
async fn name_over_the_limit_is_invalid_argument_with_the_field() {
    let server = TestServer::start(&["--max-name-bytes=4096"]).await;
    let client = server.connect().await;
    assert!(client.say_hello(&"x".repeat(4_096)).await.is_ok());

    let status = client.say_hello(&"x".repeat(4_097)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "name");
    assert_eq!(
        details.field_violations[0].description,
        "is 4097 bytes long; the limit is 4096 bytes"
    );
}

#[tokio::test]
async fn request_that_is_not_grpc_gets_an_http_status() {
    let server = TestServer::start(&[]).await;
    let client = server.connect().await;
    let post = |content_type| {
        let request = Request::post("http://test/greet.Greeter/SayHello");
        request.header("content-type", content_type).body(Bytes::new()).unwrap()
    };
    assert_eq!(client.send(post("text/html")).await.status, 415);
    assert_eq!(client.send(post("application/grpcfoo")).await.status, 415);
    let get = Request::get("http://test/greet.Greeter/SayHello");
    let get = get.header("content-type", "application/grpc").body(Bytes::new()).unwrap();
    let response = client.send(get).await;
    assert_eq!(
        (response.status.as_u16(), response.headers["allow"].as_bytes()),
        (405, &b"POST"[..])
    );
    assert_eq!(server.stop().await.answered, 3);
}

/// h2 passes CONNECT on without a scheme and a path.
#[tokio::test]
async fn connect_is_405() {
    let server = TestServer::start(&[]).await;
    let client = server.connect_h2(|_| {}).await;
    let connect = Request::connect("test:443").header("content-type", "application/grpc");
    let response = client.send(connect.body(Bytes::new()).unwrap()).await;
    assert_eq!(
        (response.status.as_u16(), &response.headers["allow"]),
        (405, &"POST".parse().unwrap())
    );
    let response = client.send(grpc_request(SAY_HELLO, framed(b""))).await;
    assert_eq!(response.grpc_status(), Some(Code::Ok as i32), "the connection stays usable");
}

#[tokio::test]
async fn panic_is_internal_for_its_call_only() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--workers=1"], &probe).await;
    let client = server.connect().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.echo(Script::Wait).await }
    });
    probe.waits_begun(1).await;

    let status = client.echo(Script::Panic).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!status.message().contains("the script panics"), "the panic message is not sent");

    probe.release(1);
    waiting.await.unwrap().unwrap();
    client.echo(Script::Echo).await.unwrap();
    assert_eq!(server.stop().await.answered, 3);
}
