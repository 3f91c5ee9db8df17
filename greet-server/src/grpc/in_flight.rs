//! Tracks a call in flight, from its headers until the kernel has its whole reply.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;
use tonic::Status;

use super::call_record::CallRecord;
use super::connection_state::{CallEnd, ConnectionState};
use super::memory::ConnectionMemory;
use super::worker_state::WorkerState;
use crate::telemetry::fault_kind::{FaultKind, FaultKinds};
use crate::telemetry::metrics::worker::CallKind;

/// A call in flight. It ends when the last reference is dropped. The handler holds one, and so do
/// the reply and its bytes in HTTP/2's buffers.
pub(crate) struct InFlight {
    state: Rc<WorkerState>,
    connection: Rc<ConnectionState>,
    /// What the call counts against; `None` before its admission.
    admitted: Cell<Option<CallKind>>,
    /// `None` for a request that is not a gRPC call.
    record: Option<CallRecord>,
    answered_at: Cell<Option<Instant>>,
    is_truncated: Cell<bool>,
    /// Whether the stream of a reply has had a message.
    has_streamed: Cell<bool>,
    /// The faults that were injected.
    faults: Cell<FaultKinds>,
}

impl InFlight {
    pub(super) fn start(
        state: Rc<WorkerState>,
        connection: Rc<ConnectionState>,
        record: Option<CallRecord>,
    ) -> Rc<InFlight> {
        connection.call_started();
        let (admitted, answered_at) = (Cell::new(None), Cell::new(None));
        let (is_truncated, has_streamed) = (Cell::new(false), Cell::new(false));
        Rc::new(InFlight {
            state,
            connection,
            admitted,
            record,
            answered_at,
            is_truncated,
            has_streamed,
            faults: Cell::default(),
        })
    }

    /// Counts the call against the limit of its kind until it ends.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED at the limit, or at the share of the connection.
    pub(super) fn admit(&self, kind: CallKind) -> Result<(), Status> {
        let held = self.connection.admitted_calls(kind);
        let is_greedy = kind == CallKind::Streaming
            && held >= self.state.limits.max_streaming_calls_per_connection;
        if is_greedy || !self.state.permits(kind).try_acquire(held) {
            return Err(Status::resource_exhausted(match kind {
                CallKind::Unary => "too many concurrent calls",
                CallKind::Streaming => "too many concurrent streaming calls",
            }));
        }
        self.connection.call_admitted(kind);
        self.admitted.set(Some(kind));
        Ok(())
    }

    /// Counts and records a fault of the call.
    pub(super) fn fault_injected(&self, kind: FaultKind) {
        self.state.metrics.faults(kind).add(1);
        self.faults.set(self.faults.get().with(kind));
    }

    /// Returns whether an injected fault takes the place of the reply.
    pub(super) fn is_reset(&self) -> bool {
        self.faults.get().contains(FaultKind::Reset)
    }

    /// Returns whether an injected fault may be why the call has no reply: it was reset, or its client did
    /// not wait for the end of the delay.
    fn has_lost_reply_to_fault(&self) -> bool {
        self.is_reset() || self.faults.get().contains(FaultKind::Delay)
    }

    pub(super) fn connection(&self) -> &ConnectionState {
        &self.connection
    }

    pub(super) fn memory(&self) -> &Arc<ConnectionMemory> {
        self.connection.memory()
    }

    pub(super) fn record(&self) -> Option<&CallRecord> {
        self.record.as_ref()
    }

    /// Notes a message of a call with a stream.
    pub(super) fn message_sent(&self) {
        if self.admitted.get() == Some(CallKind::Streaming) {
            self.has_streamed.set(true);
            self.connection.stream_message_sent();
        }
    }

    /// Notes that the stream ended before all bytes of the reply were written.
    pub(super) fn truncated(&self) {
        self.is_truncated.set(true);
    }

    /// Notes that the kernel has all bytes of the reply, unless it was truncated.
    pub(super) fn answered(&self, now: Instant) {
        self.answered_at.set(Some(now));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(kind) = self.admitted.get() {
            self.state.permits(kind).release();
            self.connection.call_released(kind);
        }
        let answered_at = self.answered_at.get().filter(|_| !self.is_truncated.get());
        if let Some(record) = &self.record {
            record.finish(&self.state, self.connection.peer(), answered_at, self.faults.get());
        }
        self.connection.call_ended(match answered_at {
            Some(_) => CallEnd::Answered,
            None if self.has_streamed.get() => CallEnd::StreamCancelled,
            None if self.has_lost_reply_to_fault() => CallEnd::FaultInjected,
            None => CallEnd::Abandoned,
        });
    }
}
