//! Tracks a call in flight, from its headers until HTTP/2 has written its whole response.

use std::cell::Cell;
use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::call_record::CallRecord;
use super::connection_state::ConnectionState;
use super::worker_state::WorkerState;

/// A call in flight. It ends when the last reference is dropped; the handler, the response body and
/// each chunk that waits in HTTP/2 for flow control have one.
pub(crate) struct InFlight {
    state: Rc<WorkerState>,
    connection: Rc<ConnectionState>,
    has_permit: bool,
    /// `None` for a request that is not a gRPC call.
    record: Option<CallRecord>,
    is_answered: Cell<bool>,
}

impl InFlight {
    pub(super) fn start(
        state: Rc<WorkerState>,
        connection: Rc<ConnectionState>,
        has_permit: bool,
        record: Option<CallRecord>,
    ) -> Rc<InFlight> {
        connection.call_started();
        Rc::new(InFlight { state, connection, has_permit, record, is_answered: Cell::new(false) })
    }

    /// Records the length of the name, for the access log and the span.
    pub(crate) fn set_name_bytes(&self, bytes: usize) {
        if let Some(record) = &self.record {
            record.set_name_bytes(bytes);
        }
    }

    pub(super) fn record(&self) -> Option<&CallRecord> {
        self.record.as_ref()
    }

    /// Notes that HTTP/2 has the whole response.
    pub(super) fn answered(&self) {
        self.is_answered.set(true);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.has_permit {
            self.state.concurrency.release();
        }
        let is_answered = self.is_answered.get();
        if let Some(record) = &self.record {
            record.finish(&self.state, self.connection.peer(), is_answered);
        }
        if is_answered {
            self.connection.call_replied();
        } else {
            self.connection.call_abandoned();
        }
    }
}

/// Bytes of a response. HTTP/2 drops them when they are written, or when the stream is reset.
pub(crate) struct TrackedChunk {
    pub(super) bytes: Bytes,
    pub(super) call: Option<Rc<InFlight>>,
}

impl Buf for TrackedChunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for TrackedChunk {
    fn drop(&mut self) {
        if let Some(call) = &self.call
            && self.bytes.has_remaining()
        {
            call.is_answered.set(false);
        }
    }
}
