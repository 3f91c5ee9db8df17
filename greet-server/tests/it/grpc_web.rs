//! gRPC-Web on the wire: HTTP/1.1 and HTTP/2, binary and text, CORS, and the limits of a call.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greet_testkit::framing::framed;
use greet_testkit::probe::{ProbeRequest, Script};
use greet_testkit::{ECHO, EXPAND, ScriptedProbe, TestServer, WAIT, grpc_request, with_timeout};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::http1;
use crate::support::samples::{ADMIN, scrape_when_idle};

const WEB: &str = "--grpc-web";
const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";
const ADA: &[u8] = b"\x0a\x03Ada";
/// The reply to [`ADA`], then the trailers frame.
const REPLY: &[u8] = b"\0\0\0\0\x05\x0a\x03Ada\x80\0\0\0\x10grpc-status: 0\r\n";

/// Calls Echo over HTTP/1.1 with additional `headers`.
async fn call(
    server: &TestServer,
    content_type: &str,
    headers: &str,
    body: &[u8],
) -> http1::Response {
    call_method(server, ECHO, content_type, headers, body).await
}

async fn call_method(
    server: &TestServer,
    path: &str,
    content_type: &str,
    headers: &str,
    body: &[u8],
) -> http1::Response {
    let head = format!("POST {path} HTTP/1.1\r\ncontent-type: {content_type}{headers}");
    let mut response = http1::request(server.address(), &head, body).await;
    if response.head.contains("transfer-encoding: chunked") {
        response.body = unchunked(&response.body);
    }
    response
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|bytes| bytes == b"\r\n") {
        let length = std::str::from_utf8(&body[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        whole.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 2 + length + 2..];
    }
    whole
}

#[tokio::test]
async fn http1_reply_is_a_message_and_a_trailers_frame() {
    let server = TestServer::start(&[WEB, "--instance=blue"]);
    let response = call(&server, BINARY, "", &framed(ADA)).await;
    assert_eq!(response.status, 200, "{}", response.head);
    assert!(
        response.head.contains("content-type: application/grpc-web+proto"),
        "{}",
        response.head
    );
    assert!(response.head.contains("greet-instance: blue"), "{}", response.head);
    assert_eq!(response.body, REPLY);
}

#[tokio::test]
async fn http2_reply_is_the_same() {
    let server = TestServer::start(&[WEB]);
    let client = server.connect().await;
    let mut request = grpc_request(ECHO, framed(ADA));
    request.headers_mut().insert(CONTENT_TYPE, BINARY.parse().unwrap());
    let response = client.send(request).await;
    assert_eq!(&response.body[..], REPLY);
    assert!(response.trailers.is_empty());
    assert_eq!(client.echo("Ada").await.unwrap(), "Ada", "plain gRPC");
}

#[tokio::test]
async fn text_is_base64_in_chunks_in_both_directions() {
    let server = TestServer::start(&[WEB]);
    let message = framed(ADA);
    let chunks = message.chunks(4).map(|chunk| STANDARD.encode(chunk));
    let body = chunks.collect::<String>();
    let response = call(&server, TEXT, "", body.as_bytes()).await;
    assert!(
        response.head.contains("content-type: application/grpc-web-text+proto"),
        "{}",
        response.head
    );
    let chunks = response.text().as_bytes().chunks(4).map(|chunk| STANDARD.decode(chunk).unwrap());
    assert_eq!(chunks.collect::<Vec<_>>().concat(), REPLY);

    let response = call(&server, TEXT, "", b"not base64!").await;
    assert!(response.head.contains("grpc-status: 13"), "{}", response.head);
    let response =
        call(&server, BINARY, "\r\naccept: application/grpc-web-text", &framed(ADA)).await;
    assert!(
        response.head.contains("content-type: application/grpc-web-text+proto"),
        "{}",
        response.head
    );
}

#[tokio::test]
async fn error_is_in_headers_that_a_browser_can_read() {
    let server = TestServer::start(&[WEB, "--cors-origin=https://shop.example"]);
    let fail = framed(&ProbeRequest::new(Script::Fail, "", 0).encode_to_vec());
    let response = call(&server, BINARY, "\r\norigin: https://shop.example", &fail).await;
    assert_eq!(response.status, 200);
    assert!(response.head.contains("grpc-status: 9"), "{}", response.head);
    assert!(
        response.head.contains("access-control-allow-origin: https://shop.example"),
        "{}",
        response.head
    );
    assert!(response.head.contains("access-control-expose-headers: grpc-status, grpc-message"));
    let response = call(&server, BINARY, "\r\norigin: https://evil.example", &framed(ADA)).await;
    assert!(!response.head.contains("access-control-allow-origin"), "{}", response.head);
}

#[tokio::test]
async fn preflight_allows_only_configured_origins() {
    let preflight = async |server: &TestServer, origin: &str| {
        let head = format!(
            "OPTIONS {ECHO} HTTP/1.1\r\norigin: {origin}\r\naccess-control-request-method: POST\
             \r\naccess-control-request-headers: content-type,x-grpc-web,grpc-timeout"
        );
        http1::request(server.address(), &head, b"").await
    };
    let shop = "https://shop.example";
    let server = TestServer::start(&[WEB, "--cors-origin=https://shop.example"]);
    let response = preflight(&server, shop).await;
    assert_eq!(response.status, 204);
    for expected in [
        "access-control-allow-origin: https://shop.example",
        "access-control-allow-methods: POST",
        "access-control-allow-headers: content-type,x-grpc-web,grpc-timeout",
        "access-control-max-age: 7200",
    ] {
        assert!(response.head.contains(expected), "{expected}\n{}", response.head);
    }
    let response = preflight(&server, "https://evil.example").await;
    assert!(!response.head.contains("access-control-allow"), "{}", response.head);

    let server = TestServer::start(&[WEB, "--cors-origin=*"]);
    let response = preflight(&server, "https://anyone.example").await;
    assert!(response.head.contains("access-control-allow-origin: *"), "{}", response.head);
    assert_eq!(http1::request(server.address(), "GET / HTTP/1.1", b"").await.status, 405);
    let server = TestServer::start(&[WEB]);
    let response = preflight(&server, shop).await;
    assert!(!response.head.contains("access-control-allow"), "{}", response.head);
}

#[tokio::test]
async fn grpc_web_is_off_by_default() {
    let server = TestServer::start(&[]);
    assert_eq!(call(&server, BINARY, "", &framed(ADA)).await.status, 505);
    let mut request = grpc_request(ECHO, framed(ADA));
    request.headers_mut().insert(CONTENT_TYPE, BINARY.parse().unwrap());
    let response = server.connect().await.send(request).await;
    assert_eq!(response.status, 415);
    assert_eq!(response.headers.get(ACCESS_CONTROL_ALLOW_ORIGIN), None);
}

#[tokio::test]
async fn grpc_requires_http2() {
    let server = TestServer::start(&[WEB]);
    assert_eq!(call(&server, "application/grpc", "", &framed(ADA)).await.status, 505);
    assert_eq!(call(&server, "text/html", "", b"").await.status, 415);
}

#[tokio::test]
async fn rejected_request_is_readable_for_an_allowed_origin() {
    let server = TestServer::start(&[WEB, "--cors-origin=https://shop.example"]);
    let response = call(&server, "text/html", "\r\norigin: https://shop.example", b"").await;
    assert_eq!(response.status, 415);
    assert!(response.text().contains("application/grpc"), "{}", response.text());
    assert!(
        response.head.contains("access-control-allow-origin: https://shop.example"),
        "{}",
        response.head
    );
}

#[tokio::test]
async fn truncated_or_malformed_body_is_internal() {
    let server = TestServer::start(&[WEB]);
    let head = format!("POST {ECHO} HTTP/1.1\r\nhost: test\r\ncontent-type: {BINARY}\r\n");
    let response_to = async |rest: &[u8]| {
        let mut tcp = server.tcp().await;
        tcp.write_all(&[head.as_bytes(), rest].concat()).await.unwrap();
        tcp.shutdown().await.unwrap();
        let mut response = String::new();
        with_timeout(tcp.read_to_string(&mut response)).await.unwrap();
        response
    };
    let truncated = response_to(b"content-length: 500\r\n\r\n\0\0\0").await;
    assert!(truncated.contains("grpc-status: 13\r\n"), "{truncated}");
    let malformed = response_to(b"transfer-encoding: chunked\r\n\r\nzz\r\n").await;
    assert!(malformed.contains("grpc-status: 13\r\n"), "{malformed}");
}

#[tokio::test]
async fn limits_of_a_call_apply_to_grpc_web() {
    let server = TestServer::start(&[WEB, "--max-message-bytes=5"]);
    assert_eq!(call(&server, BINARY, "", &framed(ADA)).await.body, REPLY);
    let response = call(&server, BINARY, "", &framed(b"\x0a\x04Ada!")).await;
    assert!(response.head.contains("grpc-status: 8"), "{}", response.head);
    let text = STANDARD.encode(framed(b"\x0a\x04Ada!"));
    let response = call(&server, TEXT, "", text.as_bytes()).await;
    assert!(response.head.contains("grpc-status: 8"), "{}", response.head);

    let probe = ScriptedProbe::new();
    let flags = [WEB, "--max-in-flight=1"];
    let server = TestServer::with_probe(&flags, &probe);
    let wait = framed(WAIT);
    let late = call_method(&server, ECHO, BINARY, "\r\ngrpc-timeout: 200m", &wait);
    let over = async {
        probe.waits_begun(1).await;
        call_method(&server, ECHO, BINARY, "", &framed(b"")).await
    };
    let (late, over) = tokio::join!(late, over);
    assert!(late.head.contains("grpc-status: 4"), "{}", late.head);
    assert!(over.head.contains("grpc-status: 8"), "{}", over.head);
    assert_eq!(server.stop().await.answered, 2);
}

/// The status of a stream is in its body, whatever happens to the handler.
#[tokio::test]
async fn stream_over_http1_ends_with_its_status() {
    let server = TestServer::with_probe(&[WEB, ADMIN], &ScriptedProbe::new());
    let expand = async |script, timeout: &str| {
        let message = framed(&ProbeRequest::new(script, [b'x'; 2_000], 2).encode_to_vec());
        let response = call_method(&server, EXPAND, BINARY, timeout, &message).await;
        String::from_utf8_lossy(&response.body).into_owned()
    };
    for (script, timeout, status) in [
        (Script::Echo, "", "grpc-status: 0\r\n"),
        (Script::Fail, "", "grpc-status: 9\r\n"),
        (Script::Panic, "", "grpc-status: 13\r\n"),
        (Script::Endless, "\r\ngrpc-timeout: 300m", "grpc-status: 4\r\n"),
    ] {
        let body = expand(script, timeout).await;
        assert!(body.contains(status), "{script:?}: {}", body.len());
    }
    let samples = scrape_when_idle(&server).await;
    let codes = ["OK", "FAILED_PRECONDITION", "INTERNAL", "DEADLINE_EXCEEDED"];
    assert_eq!(codes.map(|code| samples.calls("probe.Probe/Expand", code)), [1; 4]);
}

/// Maximum size of an HTTP/1.1 request head.
const MAX_HEAD_BYTES: usize = 8 * 1024;

#[tokio::test]
async fn http1_head_over_the_limit_is_431() {
    let server = TestServer::start(&[WEB]);
    let padded = async |bytes: usize| {
        let padding = format!("\r\nx-padding: {}", "x".repeat(bytes));
        call(&server, BINARY, &padding, &framed(ADA)).await
    };
    assert_eq!(padded(MAX_HEAD_BYTES - 512).await.body, REPLY);
    assert_eq!(padded(MAX_HEAD_BYTES).await.status, 431);
}
