//! A call that is at work, from its headers until HTTP/2 has all of its reply in its buffer.

use std::cell::Cell;
use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::call::Rpc;
use super::call_record::Record;
use crate::grpc::connection_state::Traffic;

/// Counts a call in flight until the last of its parts is dropped: the handler, the reply's body,
/// and each piece of the reply that HTTP/2 keeps until the peer lets it through.
pub(super) struct InFlight {
    rpc: Rc<Rpc>,
    traffic: Rc<Traffic>,
    /// Whether there was one for it.
    has_place: bool,
    /// Unless it is a request that is no call.
    record: Option<Record>,
    replied: Cell<bool>,
}

impl InFlight {
    pub(super) fn begin(
        rpc: Rc<Rpc>,
        traffic: Rc<Traffic>,
        has_place: bool,
        record: Option<Record>,
    ) -> Rc<InFlight> {
        traffic.call_begun();
        Rc::new(InFlight { rpc, traffic, has_place, record, replied: Cell::new(false) })
    }

    pub(super) fn record(&self) -> Option<&Record> {
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
            self.rpc.places.give_back();
        }
        if let Some(record) = &self.record {
            record.end(&self.rpc, self.traffic.peer(), self.replied.get());
        }
        match self.replied.get() {
            true => self.traffic.call_replied(),
            false => self.traffic.call_abandoned(),
        }
    }
}

/// A piece of a reply. HTTP/2 drops it when it is written, or when it never will be.
pub(crate) struct Piece {
    pub(super) bytes: Bytes,
    pub(super) call: Option<Rc<InFlight>>,
}

impl Buf for Piece {
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

impl Drop for Piece {
    fn drop(&mut self) {
        if let (true, Some(call)) = (self.bytes.has_remaining(), &self.call) {
            call.replied.set(false);
        }
    }
}
