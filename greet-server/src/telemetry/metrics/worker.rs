//! What a worker counts. Each worker writes its own and nobody else's, so counting a call touches
//! no cache line that another core writes; whoever reads adds them up.

use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::calls::CallStats;
use super::close_reason::CloseCause;
use super::counter::Counter;

/// One worker's figures. The alignment keeps two workers' figures off one cache line (and off the
/// neighbour that processors prefetch with it).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Stats {
    /// Calls whose headers have arrived and whose reply has not left, or not whole.
    pub(crate) calls_in_flight: Counter,
    /// Calls whose reply was handed to the kernel whole, whatever its status.
    pub(crate) calls_answered: Counter,
    /// Calls that ended without a whole reply: the peer reset them or its connection broke.
    pub(crate) calls_abandoned: Counter,
    /// Calls by method and by status.
    pub(crate) calls: CallStats,
    /// Requests over HTTP that were none.
    pub(crate) not_grpc: Counter,
    /// Connections that ended because the peer left, or the network took it.
    pub(crate) left: Counter,
    /// Connections that the acceptor gave to this worker and that have not ended. The one figure
    /// with two writers: the acceptor adds, the worker subtracts, once a connection each.
    pub(crate) connections: AtomicUsize,
    closed: [Counter; CloseCause::ALL.len()],
    handshakes: [Counter; Handshake::ALL.len()],
}

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    Ok,
    /// We refused the peer.
    Failed,
    /// The peer left, or the network took it.
    Gone,
    /// Its time was up.
    Unfinished,
}

impl Handshake {
    pub(crate) const ALL: [Handshake; 4] =
        [Handshake::Ok, Handshake::Failed, Handshake::Gone, Handshake::Unfinished];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Handshake::Ok => "ok",
            Handshake::Failed => "failed",
            Handshake::Gone => "gone",
            Handshake::Unfinished => "unfinished",
        }
    }
}

impl Stats {
    pub(crate) fn closed(&self, cause: CloseCause) -> &Counter {
        &self.closed[cause as usize]
    }

    pub(crate) fn handshakes(&self, result: Handshake) -> &Counter {
        &self.handshakes[result as usize]
    }
}

/// Calls, all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) answered: u64,
    pub(crate) abandoned: u64,
    pub(crate) in_flight: u64,
}

/// What became of changes to the TLS files.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    pub(crate) done: Counter,
    pub(crate) refused: Counter,
}

/// What became of spans. More than one thread adds to them.
#[derive(Debug, Default)]
pub(crate) struct SpanCounts {
    pub(crate) exported: AtomicU64,
    /// Sent, and not taken.
    pub(crate) failed: AtomicU64,
    /// There was no room for them to wait.
    pub(crate) dropped: AtomicU64,
}
