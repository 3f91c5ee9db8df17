//! What goes on on one connection: calls at work, replies on their way out, bytes that moved. The
//! calls write it, the stream writes it, and the connection decides by it when to close.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use crate::stats::Stats;

/// Shared by everything that belongs to a connection; all of that is on one thread.
#[derive(Debug)]
pub(crate) struct Traffic {
    stats: Arc<Stats>,
    open_calls: Cell<u64>,
    calls_begun: Cell<u64>,
    /// Replies that HTTP/2 has written into its buffer and the socket has not taken yet.
    unflushed_replies: Cell<u64>,
    moved_bytes: Cell<u64>,
}

impl Traffic {
    pub(crate) fn new(stats: Arc<Stats>) -> Rc<Traffic> {
        let (open_calls, calls_begun, unflushed_replies, moved_bytes) = Default::default();
        Rc::new(Traffic { stats, open_calls, calls_begun, unflushed_replies, moved_bytes })
    }

    /// Whether nothing is owed to the peer.
    pub(crate) fn is_idle(&self) -> bool {
        self.open_calls.get() == 0 && self.unflushed_replies.get() == 0
    }

    /// Calls that ever were.
    pub(crate) fn calls_begun(&self) -> u64 {
        self.calls_begun.get()
    }

    /// Bytes that were read and written so far.
    pub(crate) fn moved_bytes(&self) -> u64 {
        self.moved_bytes.get()
    }

    pub(crate) fn moved(&self, bytes: usize) {
        self.moved_bytes.set(self.moved_bytes.get() + bytes as u64);
    }

    /// All that was in HTTP/2's buffer is the kernel's now.
    pub(crate) fn flushed(&self) {
        let replies = self.unflushed_replies.take();
        if replies > 0 {
            self.stats.calls_in_flight.subtract(replies);
            self.stats.calls_answered.add(replies);
        }
    }

    pub(crate) fn call_begun(&self) {
        self.open_calls.set(self.open_calls.get() + 1);
        self.calls_begun.set(self.calls_begun.get() + 1);
        self.stats.calls_in_flight.add(1);
    }

    /// The whole reply is in HTTP/2's buffer; it counts as answered once that is flushed.
    pub(crate) fn call_replied(&self) {
        self.open_calls.set(self.open_calls.get() - 1);
        self.unflushed_replies.set(self.unflushed_replies.get() + 1);
    }

    /// The call ended without its reply, or with a part of it.
    pub(crate) fn call_abandoned(&self) {
        self.open_calls.set(self.open_calls.get() - 1);
        self.abandoned(1);
    }

    fn abandoned(&self, calls: u64) {
        self.stats.calls_in_flight.subtract(calls);
        self.stats.calls_abandoned.add(calls);
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.abandoned(self.unflushed_replies.get());
    }
}
