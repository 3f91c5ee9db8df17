//! A call as a span: where it belongs, whether it is sampled, and what is said of it at its end. The
//! attributes are those of OpenTelemetry's semantic conventions for gRPC, in the form that is to be stable.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use greet_proto::status::code_name;
use http::HeaderMap;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceState,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample as _, SpanData,
};
use tokio::sync::mpsc;
use tonic::Code;

use crate::telemetry::metrics::worker::SpanMetrics;
use crate::telemetry::trace_context::{TraceContext, TraceId};

const TRACESTATE: &str = "tracestate";
/// What the conventions call a method that is not served.
const OTHER: &str = "_OTHER";

/// What a worker makes spans with.
#[derive(Debug, Clone)]
pub(crate) struct Tracer {
    pub(super) sampler: Sampler,
    pub(super) scope: InstrumentationScope,
    pub(super) queue: mpsc::Sender<SpanData>,
    pub(super) counts: Arc<SpanMetrics>,
}

/// A call that is sampled, until it has ended.
#[derive(Debug)]
pub(crate) struct Span {
    context: SpanContext,
    parent: SpanId,
    name: &'static str,
    begun: SystemTime,
}

impl Tracer {
    /// A span in the caller's trace, or in a new one; `None` if it is not sampled. Boxed: a call's record is
    /// moved, and most daemons have no spans.
    pub(crate) fn begin(
        &self,
        method: Option<&'static str>,
        caller: Option<TraceContext>,
        headers: &HeaderMap,
    ) -> Option<Box<Span>> {
        let ids = RandomIdGenerator::default();
        let (parent, trace_id, state) = match caller {
            Some(caller) => {
                // It may come in parts, which are one list (W3C Trace Context, section 3.3.1).
                let states = headers.get_all(TRACESTATE).iter();
                let states: Vec<_> = states.filter_map(|state| state.to_str().ok()).collect();
                let state: TraceState = states.join(",").parse().unwrap_or_default();
                let parent = SpanContext::new(
                    opentelemetry::TraceId::from_bytes(caller.trace_id),
                    SpanId::from_bytes(caller.parent_id),
                    TraceFlags::new(caller.flags),
                    true,
                    state.clone(),
                );
                (Some(parent.clone()), parent.trace_id(), state)
            }
            None => (None, ids.new_trace_id(), TraceState::default()),
        };
        let name = method.unwrap_or(OTHER);
        let parent_id = parent.as_ref().map_or(SpanId::INVALID, SpanContext::span_id);
        let context = parent.map(|parent| Context::new().with_remote_span_context(parent));
        let kind = SpanKind::Server;
        let sampled = self.sampler.should_sample(context.as_ref(), trace_id, name, &kind, &[], &[]);
        if sampled.decision != SamplingDecision::RecordAndSample {
            return None;
        }
        let context =
            SpanContext::new(trace_id, ids.new_span_id(), TraceFlags::SAMPLED, false, state);
        Some(Box::new(Span { context, parent: parent_id, name, begun: SystemTime::now() }))
    }

    /// Hands it over to be exported, if there is room.
    pub(crate) fn end(
        &self,
        span: Span,
        code: Code,
        took: Duration,
        peer: Option<SocketAddr>,
        name_bytes: Option<u64>,
    ) {
        let data = SpanData {
            parent_span_is_remote: span.parent != SpanId::INVALID,
            parent_span_id: span.parent,
            span_context: span.context,
            span_kind: SpanKind::Server,
            name: Cow::Borrowed(span.name),
            start_time: span.begun,
            end_time: span.begun + took,
            attributes: attributes(span.name, code, peer, name_bytes),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: match is_error(code) {
                true => Status::error(""),
                false => Status::Unset,
            },
            instrumentation_scope: self.scope.clone(),
        };
        if self.queue.try_send(data).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Span {
    pub(crate) fn trace_id(&self) -> TraceId {
        TraceId::new(self.context.trace_id().to_bytes())
    }
}

fn attributes(
    method: &'static str,
    code: Code,
    peer: Option<SocketAddr>,
    name_bytes: Option<u64>,
) -> Vec<KeyValue> {
    let code_name = code_name(code);
    let mut attributes = vec![
        KeyValue::new("rpc.system.name", "grpc"),
        KeyValue::new("rpc.method", method),
        KeyValue::new("rpc.response.status_code", code_name),
    ];
    if is_error(code) {
        attributes.push(KeyValue::new("error.type", code_name));
    }
    if let Some(address) = peer {
        attributes.push(KeyValue::new("network.peer.address", address.ip().to_string()));
        attributes.push(KeyValue::new("network.peer.port", i64::from(address.port())));
    }
    if let Some(bytes) = name_bytes {
        attributes
            .push(KeyValue::new("greet.name_bytes", i64::try_from(bytes).unwrap_or(i64::MAX)));
    }
    attributes
}

/// To a server, by the conventions: the others are its client's to call an error.
fn is_error(code: Code) -> bool {
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
