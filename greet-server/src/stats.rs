//! What a worker counts. Each worker writes its own and nobody else's, so counting a call touches
//! no cache line that another core writes; whoever reads adds them up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    /// Connections that the acceptor gave to this worker and that have not ended. The one figure
    /// with two writers: the acceptor adds, the worker subtracts, once a connection each.
    pub(crate) connections: AtomicUsize,
    closed: [Counter; CloseCause::ALL.len()],
}

impl Stats {
    pub(crate) fn closed(&self, cause: CloseCause) -> &Counter {
        &self.closed[cause as usize]
    }
}

/// Calls, all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) answered: u64,
    pub(crate) abandoned: u64,
    pub(crate) in_flight: u64,
}

/// Why the daemon closed a connection that its peer would have kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
    /// Over `--max-connections`: refused at the door.
    OverMaxConnections,
    /// Over `--max-connections-per-ip`: refused at the door.
    OverMaxConnectionsPerIp,
    /// No HTTP/2 preface and SETTINGS within `--handshake-timeout`.
    HandshakeTimeout,
    /// The first bytes were not the HTTP/2 preface.
    NotHttp2,
    /// TLS could not be agreed on: junk, plaintext, an unknown version, a wrong certificate or none.
    TlsFailed,
    /// TLS was, and HTTP/2 over it was not: the peer did not offer `h2` by ALPN.
    NoAlpn,
    /// HTTP/2 was broken: by a frame that the protocol forbids, or by the network.
    ProtocolError,
    /// A PING went unanswered for `--keepalive-timeout`.
    KeepaliveTimeout,
    /// It had reached `--max-connection-age` and went when told to.
    MaxConnectionAge,
    /// It had no call for `--max-connection-idle` and went when told to.
    MaxConnectionIdle,
    /// Told to go for its age, it was still there after `--max-connection-age-grace`.
    AgeGraceExceeded,
    /// The peer began calls and gave them up, again and again (paced "rapid reset").
    AbandonedCalls,
    /// The drain began before the peer had said anything.
    DrainedInHandshake,
    /// No call was open and the peer left the drain's GOAWAY and PING unanswered.
    GoawayUnanswered,
    /// Its own task panicked: a fault of ours.
    Panic,
    /// Still open at `--drain-timeout`, or at the second signal.
    Cut,
}

impl CloseCause {
    /// Every cause, in the order in which they are reported.
    pub const ALL: [CloseCause; 16] = [
        CloseCause::OverMaxConnections,
        CloseCause::OverMaxConnectionsPerIp,
        CloseCause::HandshakeTimeout,
        CloseCause::NotHttp2,
        CloseCause::TlsFailed,
        CloseCause::NoAlpn,
        CloseCause::ProtocolError,
        CloseCause::KeepaliveTimeout,
        CloseCause::MaxConnectionAge,
        CloseCause::MaxConnectionIdle,
        CloseCause::AgeGraceExceeded,
        CloseCause::AbandonedCalls,
        CloseCause::DrainedInHandshake,
        CloseCause::GoawayUnanswered,
        CloseCause::Panic,
        CloseCause::Cut,
    ];

    /// The name used in logs.
    pub fn name(self) -> &'static str {
        match self {
            CloseCause::OverMaxConnections => "over_max_connections",
            CloseCause::OverMaxConnectionsPerIp => "over_max_connections_per_ip",
            CloseCause::HandshakeTimeout => "handshake_timeout",
            CloseCause::NotHttp2 => "not_http2",
            CloseCause::TlsFailed => "tls_failed",
            CloseCause::NoAlpn => "no_alpn",
            CloseCause::ProtocolError => "protocol_error",
            CloseCause::KeepaliveTimeout => "keepalive_timeout",
            CloseCause::MaxConnectionAge => "max_connection_age",
            CloseCause::MaxConnectionIdle => "max_connection_idle",
            CloseCause::AgeGraceExceeded => "age_grace_exceeded",
            CloseCause::AbandonedCalls => "abandoned_calls",
            CloseCause::DrainedInHandshake => "drained_in_handshake",
            CloseCause::GoawayUnanswered => "goaway_unanswered",
            CloseCause::Panic => "panic",
            CloseCause::Cut => "cut",
        }
    }
}

/// What became of changes to the TLS files.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    pub(crate) done: Counter,
    pub(crate) refused: Counter,
}

/// A number that one thread writes and any thread reads. Load and store instead of an atomic add:
/// with one writer nothing is lost, and no bus is locked.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.get() + n, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, n: u64) {
        self.0.store(self.get() - n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
