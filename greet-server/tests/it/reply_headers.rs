//! Headers that HTTP forbids in a reply, or reserves for the connection: a handler that sets them
//! gets its reply sent without them.

use greet_server::Service;
use greet_testkit::framing::framed;
use greet_testkit::probe::probe_server::{Probe, ProbeServer};
use greet_testkit::probe::{ProbeReply, ProbeRequest, Script};
use greet_testkit::{ECHO, EXPAND, TestServer, WireResponse, grpc_request};
use http::HeaderMap;
use prost::Message as _;
use tonic::codegen::BoxStream;
use tonic::metadata::{MetadataKey, MetadataMap};
use tonic::{Code, Request, Response, Status};

use crate::support::http1;

const FORBIDDEN: [&str; 7] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];
/// The value of the forbidden headers: a length that no reply has.
const VALUE: &str = "777";

/// Sets the forbidden headers and one that is allowed, in replies and in statuses.
#[derive(Clone)]
struct Careless;

fn set_headers(metadata: &mut MetadataMap) {
    for name in FORBIDDEN {
        let name = MetadataKey::from_bytes(name.as_bytes()).unwrap();
        metadata.insert(name, VALUE.parse().unwrap());
    }
    metadata.insert("x-allowed", "a".parse().unwrap());
}

fn failure() -> Status {
    let mut status = Status::aborted("on purpose");
    set_headers(status.metadata_mut());
    status
}

#[tonic::async_trait]
impl Probe for Careless {
    async fn echo(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        if request.get_ref().script() == Script::Fail {
            return Err(failure());
        }
        let mut response = Response::new(ProbeReply::default());
        set_headers(response.metadata_mut());
        Ok(response)
    }

    /// Fails at the start, or after `count` replies.
    async fn expand(
        &self,
        request: Request<ProbeRequest>,
    ) -> Result<Response<BoxStream<ProbeReply>>, Status> {
        if request.get_ref().script() == Script::Fail {
            return Err(failure());
        }
        let replies = (0..request.get_ref().count).map(|_| Ok(ProbeReply::default()));
        let replies = replies.chain([Err(failure())]).collect::<Vec<_>>();
        let mut response: Response<BoxStream<_>> =
            Response::new(Box::pin(tokio_stream::iter(replies)));
        set_headers(response.metadata_mut());
        Ok(response)
    }
}

fn start(flags: &[&str]) -> TestServer {
    let services = |config: &_| vec![Service::of::<ProbeServer<_>>(config, Careless)];
    TestServer::with_services(flags, services)
}

fn message(script: Script, count: u32) -> Vec<u8> {
    framed(&ProbeRequest::new(script, "", count).encode_to_vec())
}

fn assert_allowed(headers: &HeaderMap) {
    assert_eq!(headers["x-allowed"], "a");
    for name in FORBIDDEN {
        assert_eq!(headers.get(name), None, "{name}");
    }
}

#[tokio::test]
async fn forbidden_headers_of_a_handler_are_not_sent() {
    let server = start(&[]);
    let client = server.connect_h2(|_| {}).await;
    for encoding in [None, Some("identity")] {
        let send = async |path, body: Vec<u8>| -> WireResponse {
            let mut request = grpc_request(path, body);
            if let Some(encoding) = encoding {
                request.headers_mut().insert("grpc-encoding", encoding.parse().unwrap());
            }
            client.send(request).await
        };
        let reply = send(ECHO, message(Script::Echo, 0)).await;
        assert_eq!(reply.grpc_status(), Some(Code::Ok as i32));
        assert_eq!(reply.body, framed(b""));
        assert_allowed(&reply.headers);

        for path in [ECHO, EXPAND] {
            let failed = send(path, message(Script::Fail, 0)).await;
            assert_eq!(failed.grpc_status(), Some(Code::Aborted as i32), "{path}");
            assert_allowed(&failed.headers);
        }
        let failed_later = send(EXPAND, message(Script::Echo, 3)).await;
        assert_eq!(failed_later.grpc_status(), Some(Code::Aborted as i32));
        assert_eq!(failed_later.body, framed(b"").repeat(3));
        assert_allowed(&failed_later.headers);
        assert_allowed(&failed_later.trailers);
    }
    assert_eq!(server.stop().await.answered, 8);
}

#[tokio::test]
async fn forbidden_headers_of_a_handler_do_not_reach_http1() {
    let server = start(&["--grpc-web"]);
    for (path, script) in [(ECHO, Script::Echo), (ECHO, Script::Fail), (EXPAND, Script::Echo)] {
        let head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/grpc-web+proto");
        let reply = http1::request(server.address(), &head, &message(script, 2)).await;
        assert_eq!(reply.status, 200);
        assert!(reply.head.contains("x-allowed: a"), "{}", reply.head);
        assert!(!reply.head.contains(VALUE), "{}", reply.head);
        let body = String::from_utf8_lossy(&reply.body);
        assert!(!body.contains(VALUE), "{body}");
    }
}
