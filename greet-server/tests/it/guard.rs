//! A guard sees the calls of both paths, and decides by headers before a handler runs. A service
//! that asks for it finds the caller in the extensions of its requests.

use std::rc::Rc;
use std::time::Duration;

use greet_server::{Caller, Method, Service};
use greet_testkit::framing::framed;
use greet_testkit::probe::probe_server::{Probe, ProbeServer};
use greet_testkit::probe::{ProbeReply, ProbeRequest};
use greet_testkit::{ECHO, ScriptedProbe, TestServer, grpc_request};
use http::{HeaderMap, HeaderValue, Request};
use tonic::{Code, Response, Status};

/// Requires a bearer token, except for health checks.
fn require_token(_: &Caller, method: &Method, headers: &HeaderMap) -> Result<(), Status> {
    if method.path().starts_with("/grpc.health.v1.Health/") {
        return Ok(());
    }
    match headers.get("authorization") {
        Some(token) if token == "Bearer open sesame" => Ok(()),
        _ => Err(Status::unauthenticated("a bearer token is required")),
    }
}

fn with_headers(path: &str, headers: &[(&'static str, &'static str)]) -> Request<bytes::Bytes> {
    let mut request = grpc_request(path, framed(b""));
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    request
}

#[tokio::test]
async fn guard_rejects_calls_of_both_paths_and_of_reflection() {
    let server = TestServer::with_server(&[], ScriptedProbe::new().services(), |server| {
        server.set_guard(|| Rc::new(require_token));
    });
    let client = server.connect().await;
    let token = ("authorization", "Bearer open sesame");
    let wrong = ("authorization", "Bearer please");
    let encoding = ("grpc-encoding", "identity");
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let cases: [(&str, &[_], Code); 9] = [
        (ECHO, &[], Code::Unauthenticated),
        (ECHO, &[encoding], Code::Unauthenticated),
        (ECHO, &[wrong], Code::Unauthenticated),
        (ECHO, &[token], Code::Ok),
        (ECHO, &[token, encoding], Code::Ok),
        (reflection, &[], Code::Unauthenticated),
        (reflection, &[token], Code::Ok),
        ("/grpc.health.v1.Health/Check", &[], Code::Ok),
        ("/grpc.health.v1.Health/Check", &[encoding], Code::Ok),
    ];
    for (path, headers, expected) in cases {
        let response = client.send(with_headers(path, headers)).await;
        assert_eq!(response.grpc_status(), Some(expected as i32), "{path} {headers:?}");
    }
}

/// Answers with what it knows of the caller.
struct Knowing;

#[tonic::async_trait]
impl Probe for Knowing {
    async fn echo(
        &self,
        request: tonic::Request<ProbeRequest>,
    ) -> Result<Response<ProbeReply>, Status> {
        let text = match request.extensions().get::<Caller>() {
            Some(caller) => {
                let has_address = matches!(caller.peer, greet_server::Peer::Tcp(_));
                let left = caller.deadline.unwrap() - tokio::time::Instant::now();
                let is_short = left <= Duration::from_secs(5);
                let trace = caller.trace_id.map(|trace| trace.to_string()).unwrap_or_default();
                format!("address {has_address}, short {is_short}, trace {trace}")
            }
            None => "a stranger".to_owned(),
        };
        Ok(Response::new(ProbeReply { payload: text.into_bytes(), count: 0 }))
    }
}

async fn reply(asks: bool, headers: &[(&'static str, &'static str)]) -> String {
    let server = TestServer::with_services(&[], move |config| {
        let service = Service::of::<ProbeServer<_>>(config, Knowing);
        vec![if asks { service.with_caller() } else { service }]
    });
    let response = server.connect().await.send(with_headers(ECHO, headers)).await;
    String::from_utf8(response.body[7..].to_vec()).unwrap()
}

#[tokio::test]
async fn only_a_service_that_asks_gets_the_caller() {
    let trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let timeout = ("grpc-timeout", "5S");
    let known = "address true, short true, trace 4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(reply(true, &[trace, timeout]).await, known);
    assert_eq!(reply(true, &[trace, timeout, ("grpc-encoding", "identity")]).await, known);
    assert_eq!(reply(true, &[]).await, "address true, short false, trace ");
    assert_eq!(reply(false, &[trace, timeout]).await, "a stranger");
}
