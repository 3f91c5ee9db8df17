//! Spans as an OTLP collector receives them. The collector uses the types of the protocol.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use greet_testkit::framing::framed;
use greet_testkit::probe::Script;
use greet_testkit::{ECHO, TestServer, grpc_request, with_timeout};
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

use crate::support::samples::{ADMIN, openmetrics, scrape_until};

const ADA: &[u8] = b"\x0a\x03Ada";

/// The service of the collector.
struct Receiver {
    requests: mpsc::UnboundedSender<ExportTraceServiceRequest>,
    /// Whether an export completes.
    responds: bool,
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let _ = self.requests.send(request.into_inner());
        if !self.responds {
            std::future::pending::<()>().await;
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A running collector.
pub(crate) struct Collector {
    /// The flag with its address.
    pub(crate) endpoint: String,
    pub(crate) requests: mpsc::UnboundedReceiver<ExportTraceServiceRequest>,
}

impl Collector {
    pub(crate) async fn start(responds: bool) -> Collector {
        Collector::start_with(tonic::transport::Server::builder(), "http", responds).await
    }

    pub(crate) async fn start_with(
        mut server: tonic::transport::Server,
        scheme: &str,
        responds: bool,
    ) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("--otlp-endpoint={scheme}://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        let service = TraceServiceServer::new(Receiver { requests: sender, responds })
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
        let serving = server.add_service(service);
        tokio::spawn(serving.serve_with_incoming(TcpIncoming::from(listener)));
        Collector { endpoint, requests }
    }

    /// Waits for the next export. Returns its resource and its spans.
    pub(crate) async fn next(&mut self) -> (BTreeMap<String, String>, Vec<Span>) {
        let request = with_timeout(self.requests.recv()).await.unwrap();
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

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn span_continues_the_trace_of_the_caller_with_rpc_attributes() {
    let mut collector = Collector::start(true).await;
    let server = TestServer::start(&[&collector.endpoint, "--instance=blue"]);
    let client = server.connect().await;
    let mut request = grpc_request(ECHO, framed(ADA));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    request.headers_mut().insert("tracestate", "vendor=1".parse().unwrap());
    client.send(request).await;
    server.stop().await; // exports the queued spans

    let (resource, spans) = collector.next().await;
    assert_eq!(resource["service.name"], "greet-server");
    assert_eq!(resource["service.instance.id"], "blue");
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(span.name, "probe.Probe/Echo");
    assert_eq!(span.kind, 2, "SPAN_KIND_SERVER");
    assert_eq!(hex(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(span.trace_state, "vendor=1");
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    let attributes = attributes(&span.attributes);
    assert_eq!(attributes["rpc.system.name"], "grpc");
    assert_eq!(attributes["rpc.method"], "probe.Probe/Echo");
    assert_eq!(attributes["rpc.response.status_code"], "OK");
    assert_eq!(attributes["network.peer.address"], "127.0.0.1");
    assert_eq!((&*attributes["server.address"], &*attributes["server.port"]), ("test", "80"));
    assert!(!attributes.contains_key("rpc.method_original"));
    assert_eq!(attributes["greet.request_bytes"], "5");
    assert!(!attributes.values().any(|value| value.contains("Ada")), "{attributes:?}");
}

#[tokio::test]
async fn call_without_context_starts_a_trace_and_errors_set_status() {
    let mut collector = Collector::start(true).await;
    let server = TestServer::start(&[&collector.endpoint]);
    let client = server.connect().await;
    client.echo("Ada").await.unwrap();
    client.run(Script::Fail).await.unwrap_err();
    client.send(grpc_request("/made.Up/Method", framed(b""))).await;
    server.stop().await;

    let (_, spans) = collector.next().await;
    let received: Vec<_> = spans
        .iter()
        .map(|span| {
            let attributes = attributes(&span.attributes);
            let status = span.status.as_ref().map_or(0, |status| status.code);
            (span.name.as_str(), attributes["rpc.response.status_code"].clone(), status)
        })
        .collect();
    let expected = [
        ("probe.Probe/Echo", "OK".to_owned(), 0),
        ("probe.Probe/Echo", "FAILED_PRECONDITION".to_owned(), 0),
        ("_OTHER", "UNIMPLEMENTED".to_owned(), 2),
    ];
    assert_eq!(received, expected);
    assert_eq!(attributes(&spans[2].attributes)["rpc.method_original"], "made.Up/Method");
    assert!(spans.iter().all(|span| span.parent_span_id.is_empty() && span.trace_id != [0; 16]));
    assert_ne!(spans[0].trace_id, spans[1].trace_id);
}

#[tokio::test]
async fn exported_span_is_the_exemplar_of_its_bucket() {
    let mut collector = Collector::start(true).await;
    let server = TestServer::start(&[&collector.endpoint, ADMIN]);
    server.connect().await.echo("Ada").await.unwrap();
    scrape_until(&server, |samples| samples.calls("probe.Probe/Echo", "OK") == 1).await;
    let metrics = openmetrics(&server).await;
    server.stop().await;
    let (_, spans) = collector.next().await;
    let (trace_id, span_id) = (hex(&spans[0].trace_id), hex(&spans[0].span_id));
    let expected = format!(" 1 # {{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} ");
    assert!(metrics.text().contains(&expected), "{expected}: {}", metrics.text());
}

#[tokio::test]
async fn server_address_is_the_authority_of_the_request() {
    let mut collector = Collector::start(true).await;
    let server = TestServer::start(&[&collector.endpoint]);
    let client = server.connect().await;
    let expected = [
        ("http://greet.example:50051", "greet.example", "50051"),
        ("https://greet.example", "greet.example", "443"),
        ("http://[::1]:7", "::1", "7"),
    ];
    for (url, ..) in expected {
        let mut request = grpc_request(ECHO, framed(ADA));
        *request.uri_mut() = format!("{url}{ECHO}").parse().unwrap();
        client.send(request).await;
    }
    server.stop().await;
    let (_, spans) = collector.next().await;
    let received: Vec<_> = spans.iter().map(|span| attributes(&span.attributes)).collect();
    let received: Vec<_> =
        received.iter().map(|it| (&*it["server.address"], &*it["server.port"])).collect();
    assert_eq!(received, expected.map(|(_, address, port)| (address, port)));
}

#[tokio::test]
async fn unsampled_context_exports_no_span() {
    let mut collector = Collector::start(true).await;
    let server = TestServer::start(&[&collector.endpoint]);
    let client = server.connect().await;
    let mut request = grpc_request(ECHO, framed(ADA));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    request.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    client.send(request).await;
    client.echo("Ada").await.unwrap();
    server.stop().await;
    let (_, spans) = collector.next().await;
    assert_eq!(spans.len(), 1);
    assert_ne!(hex(&spans[0].trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[tokio::test]
async fn unreachable_collector_delays_neither_calls_nor_shutdown() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = format!("--otlp-endpoint=http://{closed}");
    let server = TestServer::start(&[&endpoint]);
    assert_eq!(server.connect().await.echo("Ada").await.unwrap(), "Ada");
    let started = Instant::now();
    assert_eq!(server.stop().await.answered, 1);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test]
async fn span_names_the_injected_faults() {
    let mut collector = Collector::start(true).await;
    let server = TestServer::start(&[&collector.endpoint, "--fault=delay=1ms,status=ABORTED"]);
    let client = server.connect().await;
    client.echo("Ada").await.unwrap_err();
    client.is_serving().await.unwrap();
    server.stop().await;

    let (_, spans) = collector.next().await;
    let faults = spans.iter().map(|span| attributes(&span.attributes).remove("greet.fault"));
    assert_eq!(faults.collect::<Vec<_>>(), [Some("delay,status".to_owned()), None]);
}
