//! The metrics of one worker. Only the worker writes them, so counting a call touches no cache line
//! of another core. The collector sums them.

use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::calls::CallMetrics;
use super::close_reason::CloseReason;
use super::counter::Counter;
use crate::telemetry::fault_kind::FaultKind;

/// The metrics of one worker. The alignment keeps those of two workers off one cache line, and off
/// the adjacent line that processors prefetch.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct WorkerMetrics {
    /// Calls whose headers have arrived and whose reply has not been sent completely.
    pub(crate) calls_in_flight: Counter,
    /// Calls whose reply was passed to the kernel completely, with any status.
    pub(crate) calls_answered: Counter,
    /// Calls without a complete reply: the peer reset the stream or the connection broke.
    pub(crate) calls_abandoned: Counter,
    /// Calls that count against a limit of concurrent calls, by their kind.
    admitted_calls: [Counter; CallKind::ALL.len()],
    /// Calls by method and status.
    pub(crate) calls: CallMetrics,
    faults: [Counter; FaultKind::ALL.len()],
    /// HTTP requests that are not gRPC calls.
    pub(crate) not_grpc: Counter,
    /// Requests that HTTP/2 rejected before they became calls.
    pub(crate) requests_rejected: Counter,
    /// Connections that the peer or the network closed.
    pub(crate) closed_by_peer: Counter,
    /// Open connections. The only metric with two writers: the acceptor adds, the worker subtracts.
    pub(crate) connections: AtomicUsize,
    closed: [Counter; CloseReason::ALL.len()],
    handshakes: [Counter; HandshakeResult::ALL.len()],
}

/// What a call counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// `--max-in-flight`: a call of a unary method whose request has arrived.
    Unary,
    /// `--max-streaming-calls`: a call with a stream, which may last.
    Streaming,
}

impl CallKind {
    /// Every kind, in the order of their numbers.
    pub(crate) const ALL: [CallKind; 2] = [CallKind::Unary, CallKind::Streaming];

    pub(crate) fn name(self) -> &'static str {
        match self {
            CallKind::Unary => "unary",
            CallKind::Streaming => "streaming",
        }
    }
}

/// The result of a TLS handshake.
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
            admitted_calls: Default::default(),
            calls: CallMetrics::new(served_methods),
            faults: Default::default(),
            not_grpc: Counter::default(),
            requests_rejected: Counter::default(),
            closed_by_peer: Counter::default(),
            connections: AtomicUsize::new(0),
            closed: Default::default(),
            handshakes: Default::default(),
        }
    }

    pub(crate) fn admitted_calls(&self, kind: CallKind) -> &Counter {
        &self.admitted_calls[kind as usize]
    }

    /// Returns the counter of the injected faults of a kind.
    pub(crate) fn faults(&self, kind: FaultKind) -> &Counter {
        &self.faults[kind as usize]
    }

    pub(crate) fn closed(&self, reason: CloseReason) -> &Counter {
        &self.closed[reason as usize]
    }

    pub(crate) fn handshakes(&self, result: HandshakeResult) -> &Counter {
        &self.handshakes[result as usize]
    }
}

/// The calls of all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallTotals {
    pub(crate) answered: u64,
    pub(crate) abandoned: u64,
    pub(crate) in_flight: u64,
}

/// Counts of reloads of the TLS files.
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
