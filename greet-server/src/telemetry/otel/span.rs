//! Starts and ends the span of a call, by OpenTelemetry's semantic conventions for gRPC.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use greet_flags::product;
use greet_proto::status::code_name;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceState,
    Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use tonic::Code;

use crate::telemetry::fault_kind::FaultKinds;
use crate::telemetry::trace_context::{SpanId, TraceContext, TraceId};

const TRACESTATE: &str = "tracestate";
/// The conventions' name for a method that is not served.
const UNKNOWN_METHOD: &str = "_OTHER";
/// Maximum bytes of the path of such a method.
const MAX_PATH_BYTES: usize = 256;
/// The ports that an authority without one means.
const DEFAULT_PORTS: [(&str, u16); 2] = [("http", 80), ("https", 443)];

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
        head: &Parts,
    ) -> Option<Box<Span>> {
        let parent = match caller {
            Some(caller) => Context::new().with_remote_span_context(remote(caller, &head.headers)),
            None => Context::new(),
        };
        let (name, started) = (method.unwrap_or(UNKNOWN_METHOD), SystemTime::now());
        let span = self.0.span_builder(name).with_kind(SpanKind::Server);
        let mut inner = span.with_start_time(started).start_with_context(&self.0, &parent);
        if !inner.is_recording() {
            return None;
        }
        inner.set_attributes(server_attributes(head));
        if method.is_none() {
            let path = head.uri.path().trim_start_matches('/');
            let path = path[..path.floor_char_boundary(MAX_PATH_BYTES)].to_owned();
            inner.set_attribute(KeyValue::new("rpc.method_original", path));
        }
        Some(Box::new(Span { inner, method: name, started }))
    }
}

impl Span {
    pub(crate) fn trace_id(&self) -> TraceId {
        TraceId(self.inner.span_context().trace_id().to_bytes())
    }

    pub(crate) fn span_id(&self) -> SpanId {
        SpanId(self.inner.span_context().span_id().to_bytes())
    }

    /// Ends the span and queues it for export.
    pub(crate) fn end(
        mut self,
        code: Code,
        took: Duration,
        peer: Option<SocketAddr>,
        request_bytes: u64,
        faults: FaultKinds,
    ) {
        self.inner.set_attributes(attributes(self.method, code, peer, request_bytes));
        if let Some(faults) = faults.if_any() {
            self.inner.set_attribute(KeyValue::new(product!(".fault"), faults.to_string()));
        }
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
        opentelemetry::SpanId::from_bytes(caller.parent_id),
        TraceFlags::new(caller.flags),
        true,
        state,
    )
}

/// Returns the address by which the client knows the server: the authority of the request, or Host
/// over HTTP/1.1. Behind a proxy this is a name of the service, not the address of the listener.
fn server_attributes(head: &Parts) -> Vec<KeyValue> {
    let host = || {
        let host = head.headers.get(HOST).map(HeaderValue::as_bytes)?;
        Authority::try_from(host).ok()
    };
    let Some(authority) = head.uri.authority().cloned().or_else(host) else {
        return Vec::new();
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let default = DEFAULT_PORTS.iter().find(|(scheme, _)| head.uri.scheme_str() == Some(scheme));
    let port = authority.port_u16().or(default.map(|(_, port)| *port));
    let mut attributes = vec![KeyValue::new("server.address", host.to_owned())];
    attributes.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
    attributes
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
    attributes.push(KeyValue::new(product!(".request_bytes"), request_bytes));
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
