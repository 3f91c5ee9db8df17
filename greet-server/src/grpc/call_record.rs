//! Records a call from its headers to its end: metrics at both, then the access log and the span.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use greet_proto::framing::{PREFIX_BYTES, Prefix};
use http::HeaderMap;
use http::request::Parts;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::access_log::AccessEntry;
use super::connection_state::Peer;
use super::message_scanner::MessageScanner;
use super::method::Method;
use super::request_body::ReadCounter;
use super::worker_state::WorkerState;
use crate::telemetry::fault_kind::FaultKinds;
use crate::telemetry::metrics::exemplars::Exemplar;
use crate::telemetry::otel::Span;
use crate::telemetry::trace_context::{TraceContext, TraceId};

pub(crate) struct CallRecord {
    /// `None` if the method is not served.
    method: Option<Method>,
    /// Path of an unknown method, kept only when the access log needs it.
    path: Option<Box<str>>,
    arrived: Instant,
    trace_id: Option<TraceId>,
    /// Whether the trace is recorded, here or by the caller.
    is_sampled: bool,
    span: Cell<Option<Box<Span>>>,
    /// The status that the reply carries, once it is known.
    code: Cell<Option<Code>>,
    received_bytes: Cell<u64>,
    /// Bytes received by a generated service.
    read_bytes: OnceCell<Arc<AtomicU64>>,
    sent_bytes: Cell<u64>,
}

impl CallRecord {
    pub(super) fn start(
        state: &WorkerState,
        method: Option<Method>,
        head: &Parts,
        caller: Option<TraceContext>,
        arrived: Instant,
    ) -> CallRecord {
        state.metrics.calls.call_started(method.map(|method| method.index));
        let span = state.tracer.as_ref().and_then(|tracer| {
            let label = method.as_ref().map(|method| Method::label(Some(method)));
            tracer.start_span(label, caller, head)
        });
        let trace_id = span.as_deref().map(Span::trace_id);
        let needs_path = method.is_none() && state.access_log.is_on();
        CallRecord {
            method,
            path: needs_path.then(|| head.uri.path().into()),
            arrived,
            trace_id: trace_id.or_else(|| caller.map(|caller| caller.trace_id)),
            is_sampled: span.is_some() || caller.is_some_and(|caller| caller.is_sampled()),
            span: Cell::new(span),
            code: Cell::new(None),
            received_bytes: Cell::new(0),
            read_bytes: OnceCell::new(),
            sent_bytes: Cell::new(0),
        }
    }

    /// Records the status in the headers or trailers of the reply, unless one is recorded.
    pub(super) fn set_status(&self, headers: &HeaderMap) {
        if self.code.get().is_none()
            && let Some(status) = headers.get(Status::GRPC_STATUS)
        {
            self.code.set(Some(Code::from_bytes(status.as_bytes())));
        }
    }

    pub(super) fn set_code(&self, code: Code) {
        self.code.set(Some(code));
    }

    /// Records the request of a call on the fast path.
    pub(super) fn received(&self, state: &WorkerState, request: &MessageScanner) {
        self.received_bytes.set(request.payload_bytes() as u64);
        if let Some(method) = self.method {
            state.metrics.calls.messages_received(method.index, request.messages());
        }
    }

    /// Returns the counter for the messages that a generated service reads.
    pub(super) fn read_counter(&self, state: &WorkerState) -> Option<ReadCounter> {
        let payload_bytes = self.read_bytes.get_or_init(Arc::default).clone();
        let method = self.method?.index;
        Some(ReadCounter { metrics: state.metrics.clone(), method, payload_bytes })
    }

    /// Records whole messages of the reply, with their prefixes.
    pub(super) fn sent(&self, state: &WorkerState, mut messages: &[u8]) {
        while let Some((prefix, rest)) = messages.split_first_chunk::<PREFIX_BYTES>() {
            let length = Prefix::decode(*prefix).length as usize;
            self.sent_bytes.set(self.sent_bytes.get() + length as u64);
            if let Some(method) = self.method {
                state.metrics.calls.message_sent(method.index);
            }
            messages = rest.get(length..).unwrap_or_default();
        }
    }

    /// Counts, traces and logs the end of the call: CANCELLED unless the whole reply was sent.
    pub(super) fn finish(
        &self,
        state: &WorkerState,
        peer: Peer,
        answered_at: Option<Instant>,
        faults: FaultKinds,
    ) {
        let code = match answered_at {
            Some(_) => self.code.get().unwrap_or(Code::Unknown),
            None => Code::Cancelled,
        };
        let took = answered_at.unwrap_or_else(Instant::now) - self.arrived;
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let read_bytes = self.read_bytes.get().map_or(0, |bytes| bytes.load(Ordering::Relaxed));
        let (received, sent) = (self.received_bytes.get() + read_bytes, self.sent_bytes.get());
        let index = self.method.map(|method| method.index);
        state.metrics.calls.call_ended(index, code, nanos, received, sent);
        let span_id = self.span.take().map(|span| {
            let span_id = span.span_id();
            span.end(code, took, peer.address(), received, faults);
            span_id
        });
        if self.is_sampled
            && let Some(trace_id) = self.trace_id
        {
            let exemplar = Exemplar { trace_id, span_id, nanos, ended: SystemTime::now() };
            state.metrics.calls.set_exemplar(index, code, exemplar);
        }
        if state.access_log.logs(code) {
            state.access_log.log(&AccessEntry {
                method: Method::label(self.method.as_ref()),
                path: self.path.as_deref(),
                code,
                took,
                peer,
                request_bytes: received,
                faults,
                trace_id: self.trace_id,
                span_id,
            });
        }
    }
}
