//! The published status codes (grpc statuscodes.md) of failures before, in and after the handler.

use bytes::Bytes;
use greet_testkit::framing::framed;
use greet_testkit::probe::Script;
use greet_testkit::{ECHO, ScriptedProbe, TestServer, grpc_request};
use http::Request;
use tonic::Code;

/// Calls Echo with `body` and returns the status.
async fn status_of(body: impl Into<Bytes>) -> Code {
    status_of_call(ECHO, body).await
}

async fn status_of_call(path: &str, body: impl Into<Bytes>) -> Code {
    let server = TestServer::start(&[]);
    let response = server.connect().await.send(grpc_request(path, body)).await;
    assert_eq!(response.status, 200);
    Code::from_i32(response.grpc_status().expect("a response has a status"))
}

#[tokio::test]
async fn unknown_method_or_service_is_unimplemented() {
    let server = TestServer::start(&[]);
    let client = server.connect().await;
    let paths = [
        "/probe.Probe/NoSuchMethod",
        "/probe.Probe/echo",
        "/probe.Probe/Echo/",
        "//probe.Probe/Echo",
        "/probe.Probe/%45cho",
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
    assert_eq!(status_of(framed(b"\x08\x01")).await, Code::Internal, "the payload is a number");
    let not_utf_8 = framed(b"\x0a\x02\xc3\x28");
    assert_eq!(status_of_call("/grpc.health.v1.Health/Check", not_utf_8).await, Code::Internal);
}

#[tokio::test]
async fn unknown_and_repeated_fields_are_accepted() {
    assert_eq!(status_of(framed(b"\x78\x01\x0a\x03Ada")).await, Code::Ok);
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
    let server = TestServer::start(&[]);
    let mut request = grpc_request(ECHO, framed(b""));
    let encoding = "snappy".parse().unwrap();
    request.headers_mut().insert("grpc-encoding", encoding);
    let response = server.connect().await.send(request).await;
    assert_eq!(response.grpc_status(), Some(Code::Unimplemented as i32));
    assert_eq!(response.headers["grpc-accept-encoding"], "gzip,identity");
}

#[tokio::test]
async fn request_that_is_not_grpc_gets_an_http_status() {
    let server = TestServer::start(&[]);
    let client = server.connect().await;
    let post = |content_type| {
        let request = Request::post(format!("http://test{ECHO}"));
        request.header("content-type", content_type).body(Bytes::new()).unwrap()
    };
    assert_eq!(client.send(post("text/html")).await.status, 415);
    assert_eq!(client.send(post("application/grpcfoo")).await.status, 415);
    let get = Request::get(format!("http://test{ECHO}"));
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
    let server = TestServer::start(&[]);
    let client = server.connect_h2(|_| {}).await;
    let connect = Request::connect("test:443").header("content-type", "application/grpc");
    let response = client.send(connect.body(Bytes::new()).unwrap()).await;
    assert_eq!(
        (response.status.as_u16(), &response.headers["allow"]),
        (405, &"POST".parse().unwrap())
    );
    let response = client.send(grpc_request(ECHO, framed(b""))).await;
    assert_eq!(response.grpc_status(), Some(Code::Ok as i32), "the connection stays usable");
}

#[tokio::test]
async fn panic_is_internal_for_its_call_only() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--workers=1"], &probe);
    let client = server.connect().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.run(Script::Wait).await }
    });
    probe.waits_begun(1).await;

    let status = client.run(Script::Panic).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!status.message().contains("the script panics"), "the panic message is not sent");

    probe.release(1);
    waiting.await.unwrap().unwrap();
    client.run(Script::Echo).await.unwrap();
    assert_eq!(server.stop().await.answered, 3);
}
