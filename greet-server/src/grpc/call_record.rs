//! What is known of a call: it is counted when it begins, and when it has ended it is counted again,
//! logged and traced.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use greet_proto::framing::{PREFIX_BYTES, Prefix};
use http::{HeaderMap, Request};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::access_log::AccessEntry;
use super::method::Method;
use super::worker_state::WorkerState;
use crate::grpc::connection_state::Peer;
use crate::telemetry::otel::Span;
use crate::telemetry::trace_context::{TraceContext, TraceId};

/// One call's. What does not come from its headers is noted on its way.
pub(crate) struct CallRecord {
    method: Option<&'static Method>,
    /// Of a method that nobody serves, if somebody may want to read of it.
    path: Option<Box<str>>,
    arrived: Instant,
    trace_id: Option<TraceId>,
    span: Cell<Option<Box<Span>>>,
    code: Cell<Option<Code>>,
    name_bytes: Cell<Option<u64>>,
    received_bytes: Cell<u64>,
    /// What is read on the generated way, which leaves this thread's types behind.
    read_bytes: OnceCell<Arc<AtomicU64>>,
    sent_bytes: Cell<u64>,
}

impl CallRecord {
    pub(super) fn begin<B>(
        state: &WorkerState,
        method: Option<&'static Method>,
        request: &Request<B>,
        arrived: Instant,
    ) -> CallRecord {
        state.metrics.calls.call_started(method.map(|method| method.index));
        let is_told = state.access_log.is_on();
        let headers = request.headers();
        let is_traced = is_told || state.tracer.is_some();
        let caller = if is_traced { TraceContext::from_headers(headers) } else { None };
        let tracer = state.tracer.as_ref();
        let span = tracer.and_then(|tracer| {
            tracer.start_span(method.map(|_| Method::label(method)), caller, headers)
        });
        let callers = || caller.map(|caller| caller.trace_id());
        let path = || request.uri().path().into();
        CallRecord {
            method,
            path: (is_told && method.is_none()).then(path),
            arrived,
            trace_id: span.as_deref().map(Span::trace_id).or_else(callers),
            span: Cell::new(span),
            code: Cell::new(None),
            name_bytes: Cell::new(None),
            received_bytes: Cell::new(0),
            read_bytes: OnceCell::new(),
            sent_bytes: Cell::new(0),
        }
    }

    /// The reply is whole, and all is well.
    pub(super) fn ends_well(&self) {
        self.code.set(Some(Code::Ok));
    }

    /// Whether the reply has said so already.
    pub(super) fn has_ended(&self) -> bool {
        self.code.get().is_some()
    }

    /// How it ended is said in the headers of the reply or in its trailers.
    pub(super) fn may_end_with(&self, headers: &HeaderMap) {
        if let Some(status) = headers.get(Status::GRPC_STATUS) {
            self.code.set(Some(Code::from_bytes(status.as_bytes())));
        }
    }

    /// Never the name itself.
    pub(crate) fn named(&self, bytes: usize) {
        self.name_bytes.set(Some(bytes as u64));
    }

    /// A message of the request was read.
    pub(super) fn received(&self, bytes: usize) {
        self.received_bytes.set(self.received_bytes.get() + bytes as u64);
    }

    /// The same, for whoever adds the bytes up elsewhere.
    pub(super) fn reads(&self) -> Arc<AtomicU64> {
        self.read_bytes.get_or_init(Arc::default).clone()
    }

    /// Whole messages of the reply, with their prefixes.
    pub(super) fn sent(&self, mut frame: &[u8]) {
        while let Some((prefix, rest)) = frame.split_first_chunk::<PREFIX_BYTES>() {
            let length = Prefix::decode(*prefix).length as usize;
            self.sent_bytes.set(self.sent_bytes.get() + length as u64);
            frame = rest.get(length..).unwrap_or_default();
        }
    }

    /// The call is over. Without its whole reply it was given up, whatever the reply was to be.
    pub(super) fn end(&self, state: &WorkerState, peer: Peer, replied: bool) {
        let code = match replied {
            true => self.code.get().unwrap_or(Code::Unknown),
            false => Code::Cancelled,
        };
        let took = self.arrived.elapsed();
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let read_bytes = self.read_bytes.get().map_or(0, |bytes| bytes.load(Ordering::Relaxed));
        let received_bytes = self.received_bytes.get() + read_bytes;
        let bytes = [received_bytes, self.sent_bytes.get()];
        state.metrics.calls.call_ended(self.method.map(|method| method.index), code, nanos, bytes);
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
