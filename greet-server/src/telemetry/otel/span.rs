//! Starts and ends the span of a call, by OpenTelemetry's semantic conventions for gRPC.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use greet_proto::status::code_name;
use http::HeaderMap;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceState,
    Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use tonic::Code;

use crate::telemetry::trace_context::{TraceContext, TraceId};

const TRACESTATE: &str = "tracestate";
/// The conventions' name for a method that is not served.
const UNKNOWN_METHOD: &str = "_OTHER";

/// A worker's source of spans.
#[derive(Debug, Clone)]
pub(crate) struct Tracer(SdkTracer);

/// A sampled call in flight.
#[derive(Debug)]
pub(crate) struct Span {
    inner: SdkSpan,
    method: &'static str,
    started: SystemTime,
}

impl Tracer {
    pub(super) fn new(tracer: SdkTracer) -> Tracer {
        Tracer(tracer)
    }

    /// Starts a span in the caller's trace, or in a new one; returns `None` if it is not sampled.
    /// The span is boxed because most calls have none, and a call's record is moved often.
    pub(crate) fn start_span(
        &self,
        method: Option<&'static str>,
        caller: Option<TraceContext>,
        headers: &HeaderMap,
    ) -> Option<Box<Span>> {
        let parent = match caller {
            Some(caller) => Context::new().with_remote_span_context(remote(caller, headers)),
            None => Context::new(),
        };
        let (method, started) = (method.unwrap_or(UNKNOWN_METHOD), SystemTime::now());
        let span = self.0.span_builder(method).with_kind(SpanKind::Server);
        let inner = span.with_start_time(started).start_with_context(&self.0, &parent);
        inner.is_recording().then(|| Box::new(Span { inner, method, started }))
    }
}

impl Span {
    pub(crate) fn trace_id(&self) -> TraceId {
        TraceId(self.inner.span_context().trace_id().to_bytes())
    }

    /// Ends the span and queues it for export.
    pub(crate) fn end(
        mut self,
        code: Code,
        took: Duration,
        peer: Option<SocketAddr>,
        request_bytes: u64,
    ) {
        self.inner.set_attributes(attributes(self.method, code, peer, request_bytes));
        if is_server_error(code) {
            self.inner.set_status(Status::error(""));
        }
        self.inner.end_with_timestamp(self.started + took);
    }
}

fn remote(caller: TraceContext, headers: &HeaderMap) -> SpanContext {
    // Several headers are one list (W3C Trace Context, section 3.3.1).
    let states = headers.get_all(TRACESTATE).iter();
    let states: Vec<_> = states.filter_map(|state| state.to_str().ok()).collect();
    let state: TraceState = states.join(",").parse().unwrap_or_default();
    SpanContext::new(
        opentelemetry::TraceId::from_bytes(caller.trace_id.0),
        SpanId::from_bytes(caller.parent_id),
        TraceFlags::new(caller.flags),
        true,
        state,
    )
}

fn attributes(
    method: &'static str,
    code: Code,
    peer: Option<SocketAddr>,
    request_bytes: u64,
) -> Vec<KeyValue> {
    let code_name = code_name(code);
    let mut attributes = vec![
        KeyValue::new("rpc.system.name", "grpc"),
        KeyValue::new("rpc.method", method),
        KeyValue::new("rpc.response.status_code", code_name),
    ];
    if is_server_error(code) {
        attributes.push(KeyValue::new("error.type", code_name));
    }
    if let Some(address) = peer {
        attributes.push(KeyValue::new("network.peer.address", address.ip().to_string()));
        attributes.push(KeyValue::new("network.peer.port", i64::from(address.port())));
    }
    let request_bytes = i64::try_from(request_bytes).unwrap_or(i64::MAX);
    attributes.push(KeyValue::new("greet.request_bytes", request_bytes));
    attributes
}

/// Returns whether the conventions count the status as an error of the server.
fn is_server_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
