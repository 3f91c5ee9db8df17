//! Records a call from its headers to its end: metrics at both, then the access log and the span.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use greet_proto::framing::{PREFIX_BYTES, Prefix};
use http::{HeaderMap, Request};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::access_log::AccessEntry;
use super::connection_state::Peer;
use super::method::Method;
use super::worker_state::WorkerState;
use crate::telemetry::otel::Span;
use crate::telemetry::trace_context::{TraceContext, TraceId};

pub(crate) struct CallRecord {
    method: Option<&'static Method>,
    /// Path of an unknown method, kept only when the access log needs it.
    path: Option<Box<str>>,
    arrived: Instant,
    trace_id: Option<TraceId>,
    span: Cell<Option<Box<Span>>>,
    /// The status that the response carries, once it is known.
    code: Cell<Option<Code>>,
    name_bytes: Cell<Option<u64>>,
    received_bytes: Cell<u64>,
    /// Bytes received by a generated service, whose request body must be `Send`.
    read_counter: OnceCell<Arc<AtomicU64>>,
    sent_bytes: Cell<u64>,
}

impl CallRecord {
    pub(super) fn start<B>(
        state: &WorkerState,
        method: Option<&'static Method>,
        request: &Request<B>,
        arrived: Instant,
    ) -> CallRecord {
        state.metrics.calls.call_started(method.map(|method| method.index));
        let is_logged = state.access_log.is_on();
        let headers = request.headers();
        let needs_trace = is_logged || state.tracer.is_some();
        let caller = if needs_trace { TraceContext::from_headers(headers) } else { None };
        let tracer = state.tracer.as_ref();
        let span = tracer.and_then(|tracer| {
            tracer.start_span(method.map(|_| Method::label(method)), caller, headers)
        });
        let trace_id = span.as_deref().map(Span::trace_id);
        let path = || request.uri().path().into();
        CallRecord {
            method,
            path: (is_logged && method.is_none()).then(path),
            arrived,
            trace_id: trace_id.or_else(|| caller.map(|caller| caller.trace_id)),
            span: Cell::new(span),
            code: Cell::new(None),
            name_bytes: Cell::new(None),
            received_bytes: Cell::new(0),
            read_counter: OnceCell::new(),
            sent_bytes: Cell::new(0),
        }
    }

    pub(super) fn set_ok(&self) {
        self.code.set(Some(Code::Ok));
    }

    /// Records the status in the headers or trailers of the response, unless one is recorded.
    pub(super) fn set_status(&self, headers: &HeaderMap) {
        if self.code.get().is_none()
            && let Some(status) = headers.get(Status::GRPC_STATUS)
        {
            self.code.set(Some(Code::from_bytes(status.as_bytes())));
        }
    }

    pub(super) fn set_name_bytes(&self, bytes: usize) {
        self.name_bytes.set(Some(bytes as u64));
    }

    /// Records a message of the request.
    pub(super) fn received(&self, bytes: usize) {
        self.received_bytes.set(self.received_bytes.get() + bytes as u64);
    }

    /// Returns the counter for the messages that a generated service reads.
    pub(super) fn read_counter(&self) -> Arc<AtomicU64> {
        self.read_counter.get_or_init(Arc::default).clone()
    }

    /// Records whole messages of the response, with their prefixes.
    pub(super) fn sent(&self, mut messages: &[u8]) {
        while let Some((prefix, rest)) = messages.split_first_chunk::<PREFIX_BYTES>() {
            let length = Prefix::decode(*prefix).length as usize;
            self.sent_bytes.set(self.sent_bytes.get() + length as u64);
            messages = rest.get(length..).unwrap_or_default();
        }
    }

    /// Counts, traces and logs the end of the call: CANCELLED unless the whole response was sent.
    pub(super) fn finish(&self, state: &WorkerState, peer: Peer, is_answered: bool) {
        let code =
            if is_answered { self.code.get().unwrap_or(Code::Unknown) } else { Code::Cancelled };
        let took = self.arrived.elapsed();
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let read_bytes = self.read_counter.get().map_or(0, |bytes| bytes.load(Ordering::Relaxed));
        let (received, sent) = (self.received_bytes.get() + read_bytes, self.sent_bytes.get());
        let method = self.method.map(|method| method.index);
        state.metrics.calls.call_ended(method, code, nanos, received, sent);
        if let Some(span) = self.span.take() {
            span.end(code, took, peer.address(), self.name_bytes.get());
        }
        state.access_log.log(&AccessEntry {
            method: Method::label(self.method),
            path: self.path.as_deref(),
            code,
            took,
            peer,
            name_bytes: self.name_bytes.get(),
            trace_id: self.trace_id,
        });
    }
}
