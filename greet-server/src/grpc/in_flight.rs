//! Tracks a call in flight, from its headers until the kernel has its whole reply.

use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;

use super::call_record::CallRecord;
use super::connection_state::ConnectionState;
use super::worker_state::WorkerState;

/// A call in flight. It ends when the last reference is dropped. The handler holds one, and so do
/// the reply and its bytes in HTTP/2's buffers.
pub(crate) struct InFlight {
    state: Rc<WorkerState>,
    connection: Rc<ConnectionState>,
    has_permit: bool,
    /// `None` for a request that is not a gRPC call.
    record: Option<CallRecord>,
    answered_at: Cell<Option<Instant>>,
    is_truncated: Cell<bool>,
}

impl InFlight {
    pub(super) fn start(
        state: Rc<WorkerState>,
        connection: Rc<ConnectionState>,
        has_permit: bool,
        record: Option<CallRecord>,
    ) -> Rc<InFlight> {
        connection.call_started();
        let (answered_at, is_truncated) = (Cell::new(None), Cell::new(false));
        Rc::new(InFlight { state, connection, has_permit, record, answered_at, is_truncated })
    }

    pub(super) fn record(&self) -> Option<&CallRecord> {
        self.record.as_ref()
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
        if self.has_permit {
            self.state.concurrency.release();
        }
        let answered_at = self.answered_at.get().filter(|_| !self.is_truncated.get());
        if let Some(record) = &self.record {
            record.finish(&self.state, self.connection.peer(), answered_at);
        }
        self.connection.call_ended(answered_at.is_some());
    }
}
