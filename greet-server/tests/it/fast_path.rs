//! A unary call without compression takes a fast path around the generated service. Both paths must
//! give the same response, byte for byte. Any `grpc-encoding` header selects the generated service.

use greet_server::Service;
use greet_testkit::framing::framed;
use greet_testkit::probe::probe_server::{Probe, ProbeServer};
use greet_testkit::probe::{ProbeReply, ProbeRequest, Script};
use greet_testkit::{Client, ECHO, ScriptedProbe, TestServer, WireResponse, grpc_request};
use http::{HeaderValue, Request};
use prost::Message as _;
use tonic::{Code, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Uses everything that is available to a handler. The payload selects what.
struct Elaborate;

#[tonic::async_trait]
impl Probe for Elaborate {
    async fn echo(
        &self,
        request: tonic::Request<ProbeRequest>,
    ) -> Result<Response<ProbeReply>, Status> {
        let echo = request.metadata().get("x-echo").cloned();
        let count = u32::try_from(request.extensions().len()).unwrap();
        let payload = request.get_ref().payload.clone();
        let mut response = Response::new(ProbeReply { payload, count });
        let metadata = response.metadata_mut();
        match str::from_utf8(&request.get_ref().payload).unwrap() {
            "panic" => panic!("the handler panics"),
            "fail" => {
                let details = ErrorDetails::with_bad_request_violation("name", "is \u{1f600}");
                let mut status =
                    Status::with_error_details(Code::Aborted, "no, \u{1f600} 100 %", details);
                status.metadata_mut().insert("x-error", "a".parse().unwrap());
                return Err(status);
            }
            "metadata" => {
                metadata.insert("x-echo", echo.unwrap());
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

fn echo(body: &[u8]) -> Request<bytes::Bytes> {
    let mut request = grpc_request(ECHO, body.to_vec());
    request.headers_mut().insert("x-echo", HeaderValue::from_static("a"));
    request
}

/// Returns the responses of the fast path and of the generated service.
async fn responses(
    client: &Client,
    request: impl Fn() -> Request<bytes::Bytes>,
) -> [WireResponse; 2] {
    let fast = client.send(request()).await;
    let mut request = request();
    request.headers_mut().insert("grpc-encoding", HeaderValue::from_static("identity"));
    [fast, client.send(request).await]
}

#[tokio::test]
async fn handler_results_are_equal_on_both_paths() {
    let server = TestServer::with_services(&["--instance=a"], |config| {
        vec![Service::of::<ProbeServer<_>>(config, Elaborate)]
    });
    let client = server.connect().await;
    let long = "x".repeat(20_000);
    for payload in ["Ada", "", "Zo\u{eb}", long.as_str(), "fail", "metadata", "reserved", "panic"] {
        let message = ProbeRequest::new(Script::Echo, payload, 0).encode_to_vec();
        let [fast, generated] = responses(&client, || echo(&framed(&message))).await;
        assert_eq!(fast, generated, "{payload}");
        assert_eq!(fast.headers["greet-instance"], "a");
    }
}

#[tokio::test]
async fn invalid_requests_get_equal_responses_on_both_paths() {
    let server = TestServer::with_probe(&["--max-message-bytes=1000"], &ScriptedProbe::new());
    let client = server.connect().await;
    let valid = framed(b"\x0a\x03Ada");
    let requests: [&[u8]; 17] = [
        &valid,
        b"",
        b"\0",
        b"\0\0\0\0",
        b"\0\0\0\0\0",
        b"\0\0\0\0\x05\x0a",
        &[&valid[..], &valid].concat(),
        &[&valid[..], b"\0"].concat(),
        b"\x01\0\0\0\0",
        b"\x02\0\0\0\0",
        b"\xff\0\0\0\x05\x0a\x03Ada",
        &framed(b"\xff\xff\xff"),
        &framed(b"\x0a\x05Ada"),
        &framed(b"\x10\xff"),
        &framed(b"\x08\x01"),
        &framed(&[0x10; 1_000]),
        &framed(&[0x10; 1_001]),
    ];
    for body in requests {
        let [fast, generated] = responses(&client, || echo(body)).await;
        assert_eq!(fast, generated, "{body:?}");
    }
    for timeout in ["1H", "0n", "soon"] {
        let [fast, generated] = responses(&client, || {
            let mut request = echo(&valid);
            request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
            request
        })
        .await;
        assert_eq!(fast, generated, "{timeout}");
    }
}
