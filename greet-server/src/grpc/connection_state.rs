//! The state of one connection: its peer, calls in flight, transferred bytes. Calls and the I/O
//! update it; the connection reads it to decide when to close.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use crate::telemetry::metrics::worker::WorkerMetrics;

/// The other side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The address of a TCP peer.
    Tcp(SocketAddr),
    /// A peer on a Unix socket, which has no address.
    Unix,
}

impl Peer {
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Peer::Tcp(address) => Some(address),
            Peer::Unix => None,
        }
    }

    pub(crate) fn ip(self) -> Option<IpAddr> {
        self.address().map(|address| address.ip().to_canonical())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Unix => write!(f, "unix"),
        }
    }
}

/// Maximum calls that a peer may abandon at once; one more causes a GOAWAY. Enough for a proxy
/// whose clients all disconnect together; netty allows 200 resets in 30 s.
const MAX_ABANDONED_BURST: u32 = 200;
/// Interval after which one abandoned call is forgiven: 200 in 30 s. h2 counts only resets of calls
/// that were not accepted yet, so a peer that waits a millisecond evades its limit.
const FORGIVE_INTERVAL: Duration = Duration::from_millis(150);

/// The state that all parts of a connection share, on one thread.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    metrics: Arc<WorkerMetrics>,
    peer: Peer,
    client_certificate: Option<Arc<CertificateDer<'static>>>,
    /// Calls without a complete reply.
    open_calls: Cell<u64>,
    calls_started: Cell<u64>,
    read_bytes: Cell<u64>,
    written_bytes: Cell<u64>,
    resets: RefCell<ResetLimiter>,
}

/// A leaky bucket of abandoned calls.
#[derive(Debug)]
struct ResetLimiter {
    abandoned: u32,
    /// When the last call was forgiven.
    forgiven_at: Instant,
    /// Dropped when the limit is reached.
    below_limit: Option<oneshot::Sender<()>>,
}

impl ConnectionState {
    /// The receiver completes when the peer has abandoned too many calls.
    pub(crate) fn new(
        metrics: Arc<WorkerMetrics>,
        peer: Peer,
        client_certificate: Option<CertificateDer<'static>>,
    ) -> (Rc<ConnectionState>, oneshot::Receiver<()>) {
        let (resets, abandoned_limit) = ResetLimiter::new(Instant::now());
        let connection = ConnectionState {
            metrics,
            peer,
            client_certificate: client_certificate.map(Arc::new),
            open_calls: Cell::default(),
            calls_started: Cell::default(),
            read_bytes: Cell::default(),
            written_bytes: Cell::default(),
            resets: RefCell::new(resets),
        };
        (Rc::new(connection), abandoned_limit)
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    pub(crate) fn client_certificate(&self) -> Option<&Arc<CertificateDer<'static>>> {
        self.client_certificate.as_ref()
    }

    /// Returns whether no call is in flight: the kernel has all replies.
    pub(crate) fn is_idle(&self) -> bool {
        self.open_calls.get() == 0
    }

    pub(crate) fn calls_started(&self) -> u64 {
        self.calls_started.get()
    }

    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes.get()
    }

    /// Returns the number of bytes read and written so far.
    pub(crate) fn transferred_bytes(&self) -> u64 {
        self.read_bytes.get() + self.written_bytes.get()
    }

    pub(crate) fn add_read(&self, bytes: usize) {
        self.read_bytes.set(self.read_bytes.get() + bytes as u64);
    }

    pub(crate) fn add_written(&self, bytes: usize) {
        self.written_bytes.set(self.written_bytes.get() + bytes as u64);
    }

    pub(crate) fn call_started(&self) {
        self.open_calls.set(self.open_calls.get() + 1);
        self.calls_started.set(self.calls_started.get() + 1);
        self.metrics.calls_in_flight.add(1);
    }

    /// Counts the end of a call as answered, or as abandoned without its whole reply.
    pub(crate) fn call_ended(&self, is_answered: bool) {
        self.open_calls.set(self.open_calls.get() - 1);
        self.metrics.calls_in_flight.subtract(1);
        if is_answered {
            self.metrics.calls_answered.add(1);
        } else {
            self.metrics.calls_abandoned.add(1);
            self.resets.borrow_mut().call_abandoned(Instant::now());
        }
    }
}

impl ResetLimiter {
    fn new(now: Instant) -> (ResetLimiter, oneshot::Receiver<()>) {
        let (below_limit, limit_reached) = oneshot::channel();
        let below_limit = Some(below_limit);
        (ResetLimiter { abandoned: 0, forgiven_at: now, below_limit }, limit_reached)
    }

    fn call_abandoned(&mut self, now: Instant) {
        let forgiven = (now - self.forgiven_at).as_micros() / FORGIVE_INTERVAL.as_micros();
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX).min(self.abandoned);
        self.abandoned -= forgiven;
        self.forgiven_at = match self.abandoned {
            0 => now,
            _ => self.forgiven_at + FORGIVE_INTERVAL * forgiven,
        };
        self.abandoned += 1;
        if self.abandoned > MAX_ABANDONED_BURST {
            self.below_limit = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_up_to_the_limit_is_allowed() {
        let now = Instant::now();
        let (mut limiter, _limit_reached) = ResetLimiter::new(now);
        (0..MAX_ABANDONED_BURST).for_each(|_| limiter.call_abandoned(now));
        assert!(limiter.below_limit.is_some());
        limiter.call_abandoned(now);
        assert!(limiter.below_limit.is_none());
    }

    #[test]
    fn one_abandoned_call_per_interval_is_forgiven() {
        let is_allowed = |interval: Duration| {
            let start = Instant::now();
            let (mut limiter, _limit_reached) = ResetLimiter::new(start);
            (0..100_000).for_each(|call| limiter.call_abandoned(start + interval * call));
            limiter.below_limit.is_some()
        };
        assert!(is_allowed(FORGIVE_INTERVAL));
        assert!(!is_allowed(FORGIVE_INTERVAL - Duration::from_millis(1)));
    }
}
