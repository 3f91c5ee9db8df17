//! What a worker counts. Each worker writes its own and nobody else's, so counting a call touches
//! no cache line that another core writes; whoever reads adds them up.

use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::calls::CallMetrics;
use super::close_reason::CloseReason;
use super::counter::Counter;

/// One worker's figures. The alignment keeps two workers' figures off one cache line (and off the
/// neighbour that processors prefetch with it).
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct WorkerMetrics {
    /// CallTotals whose headers have arrived and whose reply has not left, or not whole.
    pub(crate) calls_in_flight: Counter,
    /// CallTotals whose reply was handed to the kernel whole, whatever its status.
    pub(crate) calls_answered: Counter,
    /// CallTotals that ended without a whole reply: the peer reset them or its connection broke.
    pub(crate) calls_abandoned: Counter,
    /// CallTotals by method and by status.
    pub(crate) calls: CallMetrics,
    /// Requests over HTTP that were none.
    pub(crate) not_grpc: Counter,
    /// Connections that ended because the peer left, or the network took it.
    pub(crate) closed_by_peer: Counter,
    /// Connections that the acceptor gave to this worker and that have not ended. The one figure
    /// with two writers: the acceptor adds, the worker subtracts, once a connection each.
    pub(crate) connections: AtomicUsize,
    closed: [Counter; CloseReason::ALL.len()],
    handshakes: [Counter; HandshakeResult::ALL.len()],
}

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandshakeResult {
    Ok,
    /// The daemon rejected the peer.
    Failed,
    /// The peer or the network ended the connection.
    PeerClosed,
    /// `--handshake-timeout` passed.
    Timeout,
}

impl HandshakeResult {
    pub(crate) const ALL: [HandshakeResult; 4] = [
        HandshakeResult::Ok,
        HandshakeResult::Failed,
        HandshakeResult::PeerClosed,
        HandshakeResult::Timeout,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            HandshakeResult::Ok => "ok",
            HandshakeResult::Failed => "failed",
            HandshakeResult::PeerClosed => "peer_closed",
            HandshakeResult::Timeout => "timeout",
        }
    }
}

impl WorkerMetrics {
    pub(crate) fn new(served_methods: usize) -> WorkerMetrics {
        WorkerMetrics {
            calls_in_flight: Counter::default(),
            calls_answered: Counter::default(),
            calls_abandoned: Counter::default(),
            calls: CallMetrics::new(served_methods),
            not_grpc: Counter::default(),
            closed_by_peer: Counter::default(),
            connections: AtomicUsize::new(0),
            closed: Default::default(),
            handshakes: Default::default(),
        }
    }

    pub(crate) fn closed(&self, cause: CloseReason) -> &Counter {
        &self.closed[cause as usize]
    }

    pub(crate) fn handshakes(&self, result: HandshakeResult) -> &Counter {
        &self.handshakes[result as usize]
    }
}

/// CallTotals, all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallTotals {
    pub(crate) answered: u64,
    pub(crate) abandoned: u64,
    pub(crate) in_flight: u64,
}

/// What became of changes to the TLS files.
#[derive(Debug, Default)]
pub(crate) struct ReloadMetrics {
    pub(crate) done: Counter,
    pub(crate) refused: Counter,
}

/// Counts of spans. Several threads write them.
#[derive(Debug, Default)]
pub(crate) struct SpanMetrics {
    pub(crate) exported: AtomicU64,
    /// Spans whose export failed.
    pub(crate) failed: AtomicU64,
    /// Spans that found the queue full.
    pub(crate) dropped: AtomicU64,
}
