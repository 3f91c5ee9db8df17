//! gRPC-Web, byte by byte: over HTTP/1.1 and HTTP/2, binary and text, who may call, and the same bounds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::http1::{Page, ask};
use crate::support::{Faulty, SAY_HELLO, TestServer, framed, grpc_request, with_timeout};

const WEB: &str = "--grpc-web";
const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";
const ADA: &[u8] = b"\x0a\x03Ada";
/// The reply's message, then the message of its trailers.
const HELLO_ADA: &[u8] = b"\0\0\0\0\x0b\x0a\x09Hello Ada\x80\0\0\0\x10grpc-status: 0\r\n";

/// A call over HTTP/1.1, with `headers` of its own.
async fn call(server: &TestServer, content_type: &str, headers: &str, body: &[u8]) -> Page {
    let head = format!("POST {SAY_HELLO} HTTP/1.1\r\ncontent-type: {content_type}{headers}");
    let mut page = ask(server.address(), &head, body).await;
    if page.head.contains("transfer-encoding: chunked") {
        page.body = unchunked(&page.body);
    }
    page
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
async fn over_http_1_a_reply_is_its_message_and_then_its_trailers() {
    let server = TestServer::start(&[WEB, "--instance=blue"]).await;
    let page = call(&server, BINARY, "", &framed(ADA)).await;
    assert_eq!(page.status, 200, "{}", page.head);
    assert!(page.head.contains("content-type: application/grpc-web+proto"), "{}", page.head);
    assert!(page.head.contains("greet-instance: blue"), "{}", page.head);
    assert_eq!(page.body, HELLO_ADA);
}

#[tokio::test]
async fn over_http_2_it_is_the_same() {
    let server = TestServer::start(&[WEB]).await;
    let client = server.connect().await;
    let mut request = grpc_request(SAY_HELLO, framed(ADA));
    request.headers_mut().insert(CONTENT_TYPE, BINARY.parse().unwrap());
    let answer = client.send(request).await;
    assert_eq!(&answer.body[..], HELLO_ADA);
    assert!(answer.trailers.is_empty());
    assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada", "and gRPC beside it");
}

#[tokio::test]
async fn text_is_base64_in_pieces_both_ways() {
    let server = TestServer::start(&[WEB]).await;
    let message = framed(ADA);
    let pieces = message.chunks(4).map(|piece| STANDARD.encode(piece));
    let body = pieces.collect::<String>();
    let page = call(&server, TEXT, "", body.as_bytes()).await;
    assert!(page.head.contains("content-type: application/grpc-web-text+proto"), "{}", page.head);
    let pieces = page.text().as_bytes().chunks(4).map(|piece| STANDARD.decode(piece).unwrap());
    assert_eq!(pieces.collect::<Vec<_>>().concat(), HELLO_ADA);

    let page = call(&server, TEXT, "", b"no base64!").await;
    assert!(page.head.contains("grpc-status: 13"), "{}", page.head);
    let page = call(&server, BINARY, "\r\naccept: application/grpc-web-text", &framed(ADA)).await;
    assert!(page.head.contains("content-type: application/grpc-web-text+proto"), "{}", page.head);
}

#[tokio::test]
async fn an_error_is_in_the_headers_where_a_browser_can_read_it() {
    let server = TestServer::start(&[WEB, "--cors-origin=https://shop.example"]).await;
    let long = [&b"\x0a\x88\x27"[..], &[b'x'; 5_000]].concat();
    let page = call(&server, BINARY, "\r\norigin: https://shop.example", &framed(&long)).await;
    assert_eq!(page.status, 200);
    assert!(page.head.contains("grpc-status: 3"), "{}", page.head);
    assert!(
        page.head.contains("access-control-allow-origin: https://shop.example"),
        "{}",
        page.head
    );
    assert!(page.head.contains("access-control-expose-headers: grpc-status, grpc-message"));
    let page = call(&server, BINARY, "\r\norigin: https://evil.example", &framed(ADA)).await;
    assert!(!page.head.contains("access-control-allow-origin"), "{}", page.head);
}

#[tokio::test]
async fn a_preflight_says_who_may_call() {
    let preflight = async |server: &TestServer, origin: &str| {
        let head = format!(
            "OPTIONS {SAY_HELLO} HTTP/1.1\r\norigin: {origin}\r\naccess-control-request-method: POST\
             \r\naccess-control-request-headers: content-type,x-grpc-web,grpc-timeout"
        );
        ask(server.address(), &head, b"").await
    };
    let shop = "https://shop.example";
    let server = TestServer::start(&[WEB, "--cors-origin=https://shop.example"]).await;
    let page = preflight(&server, shop).await;
    assert_eq!(page.status, 204);
    for expected in [
        "access-control-allow-origin: https://shop.example",
        "access-control-allow-methods: POST",
        "access-control-allow-headers: content-type,x-grpc-web,grpc-timeout",
        "access-control-max-age: 7200",
    ] {
        assert!(page.head.contains(expected), "{expected}\n{}", page.head);
    }
    let page = preflight(&server, "https://evil.example").await;
    assert!(!page.head.contains("access-control-allow"), "{}", page.head);

    let server = TestServer::start(&[WEB, "--cors-origin=*"]).await;
    let page = preflight(&server, "https://anyone.example").await;
    assert!(page.head.contains("access-control-allow-origin: *"), "{}", page.head);
    assert_eq!(ask(server.address(), "GET / HTTP/1.1", b"").await.status, 405);
    let server = TestServer::start(&[WEB]).await;
    let page = preflight(&server, shop).await;
    assert!(!page.head.contains("access-control-allow"), "{}", page.head);
}

#[tokio::test]
async fn without_the_flag_there_is_none_of_it() {
    let server = TestServer::start(&[]).await;
    assert_eq!(call(&server, BINARY, "", &framed(ADA)).await.status, 505);
    let mut request = grpc_request(SAY_HELLO, framed(ADA));
    request.headers_mut().insert(CONTENT_TYPE, BINARY.parse().unwrap());
    let answer = server.connect().await.send(request).await;
    assert_eq!(answer.status, 415);
    assert_eq!(answer.headers.get(ACCESS_CONTROL_ALLOW_ORIGIN), None);
}

#[tokio::test]
async fn grpc_itself_needs_http_2() {
    let server = TestServer::start(&[WEB]).await;
    assert_eq!(call(&server, "application/grpc", "", &framed(ADA)).await.status, 505);
    assert_eq!(call(&server, "text/html", "", b"").await.status, 415);
}

#[tokio::test]
async fn a_page_that_may_call_may_read_why_its_request_was_none() {
    let server = TestServer::start(&[WEB, "--cors-origin=https://shop.example"]).await;
    let page = call(&server, "text/html", "\r\norigin: https://shop.example", b"").await;
    assert_eq!(page.status, 415);
    assert!(page.text().contains("application/grpc"), "{}", page.text());
    assert!(
        page.head.contains("access-control-allow-origin: https://shop.example"),
        "{}",
        page.head
    );
}

#[tokio::test]
async fn a_request_that_is_cut_short_is_cancelled_and_one_that_is_malformed_is_told_so() {
    let server = TestServer::start(&[WEB]).await;
    let head = format!("POST {SAY_HELLO} HTTP/1.1\r\nhost: test\r\ncontent-type: {BINARY}\r\n");
    let answer = async |rest: &[u8]| {
        let mut tcp = server.tcp().await;
        tcp.write_all(&[head.as_bytes(), rest].concat()).await.unwrap();
        tcp.shutdown().await.unwrap();
        let mut answer = String::new();
        with_timeout(tcp.read_to_string(&mut answer)).await.unwrap();
        answer
    };
    let cut_short = answer(b"content-length: 500\r\n\r\n\0\0\0").await;
    assert!(cut_short.contains("grpc-status: 1\r\n"), "{cut_short}");
    let malformed = answer(b"transfer-encoding: chunked\r\n\r\nzz\r\n").await;
    assert!(malformed.contains("grpc-status: 13\r\n"), "{malformed}");
}

#[tokio::test]
async fn the_limits_on_a_call_hold() {
    let server = TestServer::start(&[WEB, "--max-message-bytes=5"]).await;
    assert_eq!(call(&server, BINARY, "", &framed(ADA)).await.body, HELLO_ADA);
    let page = call(&server, BINARY, "", &framed(b"\x0a\x04Ada!")).await;
    assert!(page.head.contains("grpc-status: 8"), "{}", page.head);
    let text = STANDARD.encode(framed(b"\x0a\x04Ada!"));
    let page = call(&server, TEXT, "", text.as_bytes()).await;
    assert!(page.head.contains("grpc-status: 8"), "{}", page.head);

    let greeter = Faulty::new();
    let flags = [WEB, "--max-in-flight=1"];
    let server = TestServer::with_greeter(&flags, greeter.clone()).await;
    let wait = framed(b"\x0a\x04wait");
    let late = call(&server, BINARY, "\r\ngrpc-timeout: 200m", &wait);
    let over = async {
        greeter.has_begun(1).await;
        call(&server, BINARY, "", &framed(ADA)).await
    };
    let (late, over) = tokio::join!(late, over);
    assert!(late.head.contains("grpc-status: 4"), "{}", late.head);
    assert!(over.head.contains("grpc-status: 8"), "{}", over.head);
    assert_eq!(server.stop().await.answered, 2);
}

/// What may be said before a body, over HTTP/1.1.
const MOST_HEAD_BYTES: usize = 8 * 1024;

#[tokio::test]
async fn a_head_has_a_limit_over_http_1_too() {
    let server = TestServer::start(&[WEB]).await;
    let padded = async |bytes: usize| {
        let padding = format!("\r\nx-padding: {}", "x".repeat(bytes));
        call(&server, BINARY, &padding, &framed(ADA)).await
    };
    assert_eq!(padded(MOST_HEAD_BYTES - 512).await.body, HELLO_ADA);
    assert_eq!(padded(MOST_HEAD_BYTES).await.status, 431);
}
