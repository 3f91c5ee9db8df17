//! Spans, as a collector gets them: a real OTLP receiver, made from the protocol's own types.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::server::TcpIncoming;

use crate::http1::get;
use crate::support::{SAY_HELLO, TestServer, framed, grpc_request, soon};

const ADMIN: &str = "--admin-listen=127.0.0.1:0";
const ADA: &[u8] = b"\x0a\x03Ada";

/// Takes what is exported; or never answers.
struct Receiver {
    requests: mpsc::UnboundedSender<ExportTraceServiceRequest>,
    answers: bool,
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let _ = self.requests.send(request.into_inner());
        if !self.answers {
            std::future::pending::<()>().await;
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A running collector.
pub(crate) struct Collector {
    /// The flag that names it.
    pub(crate) endpoint: String,
    pub(crate) requests: mpsc::UnboundedReceiver<ExportTraceServiceRequest>,
}

impl Collector {
    pub(crate) async fn start(answers: bool) -> Collector {
        Collector::start_with(tonic::transport::Server::builder(), "http", answers).await
    }

    pub(crate) async fn start_with(
        mut server: tonic::transport::Server,
        scheme: &str,
        answers: bool,
    ) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("--otlp-endpoint={scheme}://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        let service = TraceServiceServer::new(Receiver { requests: sender, answers })
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
        let serving = server.add_service(service);
        tokio::spawn(serving.serve_with_incoming(TcpIncoming::from(listener)));
        Collector { endpoint, requests }
    }

    /// What came until now, or comes with the end of the daemon: resource and spans.
    pub(crate) async fn next(&mut self) -> (BTreeMap<String, String>, Vec<Span>) {
        let request = soon(self.requests.recv()).await.unwrap();
        let [resource_spans] = &request.resource_spans[..] else { panic!("{request:?}") };
        let spans = resource_spans.scope_spans.iter().flat_map(|scope| scope.spans.clone());
        (attributes(&resource_spans.resource.as_ref().unwrap().attributes), spans.collect())
    }
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<_>| match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |attribute: &KeyValue| {
        let value = attribute.value.as_ref().and_then(|value| value.value.clone());
        (attribute.key.clone(), text(&value))
    };
    attributes.iter().map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn dropped(server: &TestServer) -> u64 {
    let metrics = get(server.admin(), "/metrics").await;
    let mut lines = metrics.text().lines();
    let sample = "greet_otlp_spans_total{result=\"dropped\"} ";
    lines.find_map(|line| line.strip_prefix(sample)?.parse().ok()).unwrap()
}

#[tokio::test]
async fn a_call_is_a_span_in_its_callers_trace_with_what_the_conventions_ask_for() {
    let mut collector = Collector::start(true).await;
    let server = TestServer::start(&[&collector.endpoint, "--instance=blue"]).await;
    let client = server.connect().await;
    let mut request = grpc_request(SAY_HELLO, framed(ADA));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    request.headers_mut().insert("tracestate", "vendor=1".parse().unwrap());
    client.send(request).await;
    server.stop().await; // which sends what waits

    let (resource, spans) = collector.next().await;
    assert_eq!(resource["service.name"], "greet-server");
    assert_eq!(resource["service.instance.id"], "blue");
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(span.name, "greet.Greeter/SayHello");
    assert_eq!(span.kind, 2, "SPAN_KIND_SERVER");
    assert_eq!(hex(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(span.trace_state, "vendor=1");
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    let attributes = attributes(&span.attributes);
    assert_eq!(attributes["rpc.system.name"], "grpc");
    assert_eq!(attributes["rpc.method"], "greet.Greeter/SayHello");
    assert_eq!(attributes["rpc.response.status_code"], "OK");
    assert_eq!(attributes["network.peer.address"], "127.0.0.1");
    assert_eq!(attributes["greet.name_bytes"], "3");
    assert!(!attributes.values().any(|value| value.contains("Ada")), "{attributes:?}");
}

#[tokio::test]
async fn a_call_without_a_trace_begins_one_and_errors_of_the_server_are_errors() {
    let mut collector = Collector::start(true).await;
    let server = TestServer::start(&[&collector.endpoint]).await;
    let client = server.connect().await;
    client.say_hello("Ada").await.unwrap();
    client.say_hello(&"x".repeat(5_000)).await.unwrap_err();
    client.send(grpc_request("/made.Up/Method", framed(b""))).await;
    server.stop().await;

    let (_, spans) = collector.next().await;
    let seen: Vec<_> = spans
        .iter()
        .map(|span| {
            let attributes = attributes(&span.attributes);
            let status = span.status.as_ref().map_or(0, |status| status.code);
            (span.name.as_str(), attributes["rpc.response.status_code"].clone(), status)
        })
        .collect();
    let expected = [
        ("greet.Greeter/SayHello", "OK".to_owned(), 0),
        ("greet.Greeter/SayHello", "INVALID_ARGUMENT".to_owned(), 0),
        ("_OTHER", "UNIMPLEMENTED".to_owned(), 2),
    ];
    assert_eq!(seen, expected);
    assert!(spans.iter().all(|span| span.parent_span_id.is_empty() && span.trace_id != [0; 16]));
    assert_ne!(spans[0].trace_id, spans[1].trace_id);
}

#[tokio::test]
async fn a_caller_that_does_not_sample_has_no_span() {
    let mut collector = Collector::start(true).await;
    let server = TestServer::start(&[&collector.endpoint]).await;
    let client = server.connect().await;
    let mut request = grpc_request(SAY_HELLO, framed(ADA));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    request.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    client.send(request).await;
    client.say_hello("Ada").await.unwrap();
    server.stop().await;
    let (_, spans) = collector.next().await;
    assert_eq!(spans.len(), 1);
    assert_ne!(hex(&spans[0].trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
}

/// More than may wait, and as many as are sent together.
const CALLS: u64 = 2_048 + 512 + 100;

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_which_are_counted_and_no_call() {
    let mut collector = Collector::start(false).await;
    let server = TestServer::start(&[&collector.endpoint, ADMIN, "--workers=1"]).await;
    let client = server.connect().await;
    for _ in 0..CALLS {
        assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada");
    }
    assert_eq!(collector.next().await.1.len(), 512, "as many as are sent together");
    assert_eq!(dropped(&server).await, 100, "2048 spans are queued");
    let begun = Instant::now();
    assert_eq!(server.stop().await.answered, CALLS);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_collector_that_is_not_there_holds_up_neither_calls_nor_the_end() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = format!("--otlp-endpoint=http://{nobody}");
    let server = TestServer::start(&[&endpoint]).await;
    assert_eq!(server.connect().await.say_hello("Ada").await.unwrap(), "Hello Ada");
    let begun = Instant::now();
    assert_eq!(server.stop().await.answered, 1);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
