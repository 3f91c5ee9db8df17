//! A call that is at work, from its headers until HTTP/2 has all of its reply in its buffer.

use std::cell::Cell;
use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::call_record::CallRecord;
use super::worker_state::WorkerState;
use crate::grpc::connection_state::ConnectionState;

/// Counts a call in flight until the last of its parts is dropped: the handler, the reply's body,
/// and each piece of the reply that HTTP/2 keeps until the peer lets it through.
pub(crate) struct InFlight {
    state: Rc<WorkerState>,
    connection: Rc<ConnectionState>,
    /// Whether there was one for it.
    has_place: bool,
    /// Unless it is a request that is no call.
    record: Option<CallRecord>,
    replied: Cell<bool>,
}

impl InFlight {
    pub(super) fn begin(
        state: Rc<WorkerState>,
        connection: Rc<ConnectionState>,
        has_place: bool,
        record: Option<CallRecord>,
    ) -> Rc<InFlight> {
        connection.call_started();
        Rc::new(InFlight { state, connection, has_place, record, replied: Cell::new(false) })
    }

    pub(crate) fn record(&self) -> Option<&CallRecord> {
        self.record.as_ref()
    }

    /// The whole reply was handed to HTTP/2.
    pub(super) fn replied(&self) {
        self.replied.set(true);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.has_place {
            self.state.concurrency.give_back();
        }
        if let Some(record) = &self.record {
            record.end(&self.state, self.connection.peer(), self.replied.get());
        }
        match self.replied.get() {
            true => self.connection.call_replied(),
            false => self.connection.call_abandoned(),
        }
    }
}

/// A piece of a reply. HTTP/2 drops it when it is written, or when it never will be.
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
        if let (true, Some(call)) = (self.bytes.has_remaining(), &self.call) {
            call.replied.set(false);
        }
    }
}
