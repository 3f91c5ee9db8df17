//! What goes on on one connection: calls at work, replies on their way out, bytes that moved. The
//! calls write it, the stream writes it, and the connection decides by it when to close.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::telemetry::metrics::worker::WorkerMetrics;

/// Who is on the other end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
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

/// Calls that a peer may begin and give up at once, before it is told to calm down: enough for a proxy
/// whose clients all leave together. (netty allows as many resets in 30 s, and so do we.)
const MAX_ABANDONED_BURST: u32 = 200;
/// Every so often one of these is forgiven: 200 in 30 s. h2 counts only resets of calls that it has
/// not handed over yet; a peer that waits a millisecond passes it by.
const FORGIVE_INTERVAL: Duration = Duration::from_millis(150);

/// Shared by everything that belongs to a connection; all of that is on one thread.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    metrics: Arc<WorkerMetrics>,
    peer: Peer,
    open_calls: Cell<u64>,
    calls_started: Cell<u64>,
    /// Replies that HTTP/2 has written into its buffer and the socket has not taken yet.
    unflushed_replies: Cell<u64>,
    moved_bytes: Cell<u64>,
    patience: RefCell<ResetLimiter>,
}

/// With calls that are given up.
#[derive(Debug)]
struct ResetLimiter {
    abandoned: u32,
    counted_from: Instant,
    /// Dropped when it is over.
    lasts: Option<oneshot::Sender<()>>,
}

impl ConnectionState {
    /// The receiver ends when the peer has given up too many calls.
    pub(crate) fn new(
        metrics: Arc<WorkerMetrics>,
        peer: Peer,
    ) -> (Rc<ConnectionState>, oneshot::Receiver<()>) {
        let (lasts, is_over) = oneshot::channel();
        let counted_from = Instant::now();
        let patience =
            RefCell::new(ResetLimiter { abandoned: 0, counted_from, lasts: Some(lasts) });
        let (open_calls, calls_started, unflushed_replies, moved_bytes) = Default::default();
        let connection = ConnectionState {
            metrics,
            peer,
            open_calls,
            calls_started,
            unflushed_replies,
            moved_bytes,
            patience,
        };
        (Rc::new(connection), is_over)
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether nothing is owed to the peer.
    pub(crate) fn is_idle(&self) -> bool {
        self.open_calls.get() == 0 && self.unflushed_replies.get() == 0
    }

    /// Calls that ever were.
    pub(crate) fn calls_started(&self) -> u64 {
        self.calls_started.get()
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
            self.metrics.calls_in_flight.subtract(replies);
            self.metrics.calls_answered.add(replies);
        }
    }

    pub(crate) fn call_started(&self) {
        self.open_calls.set(self.open_calls.get() + 1);
        self.calls_started.set(self.calls_started.get() + 1);
        self.metrics.calls_in_flight.add(1);
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
        self.patience.borrow_mut().tried(Instant::now());
    }

    fn abandoned(&self, calls: u64) {
        self.metrics.calls_in_flight.subtract(calls);
        self.metrics.calls_abandoned.add(calls);
    }
}

impl ResetLimiter {
    fn tried(&mut self, now: Instant) {
        let forgiven = (now - self.counted_from).as_micros() / FORGIVE_INTERVAL.as_micros();
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX).min(self.abandoned);
        self.abandoned -= forgiven;
        self.counted_from = match self.abandoned {
            0 => now,
            _ => self.counted_from + FORGIVE_INTERVAL * forgiven,
        };
        self.abandoned += 1;
        if self.abandoned > MAX_ABANDONED_BURST {
            self.lasts = None;
        }
    }
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        self.abandoned(self.unflushed_replies.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> (ResetLimiter, Instant) {
        let counted_from = Instant::now();
        let lasts = Some(oneshot::channel().0);
        (ResetLimiter { abandoned: 0, counted_from, lasts }, counted_from)
    }

    #[test]
    fn so_many_calls_may_be_given_up_at_once_and_not_one_more() {
        let (mut patience, begun) = patience();
        (0..MAX_ABANDONED_BURST).for_each(|_| patience.tried(begun));
        assert!(patience.lasts.is_some());
        patience.tried(begun);
        assert!(patience.lasts.is_none());
    }

    #[test]
    fn a_slow_pace_is_forgiven_for_ever_and_a_faster_one_is_not() {
        let outlasts = |pace: Duration| {
            let (mut patience, begun) = patience();
            (0..100_000).for_each(|call| patience.tried(begun + pace * call));
            patience.lasts.is_some()
        };
        assert!(outlasts(FORGIVE_INTERVAL));
        assert!(!outlasts(FORGIVE_INTERVAL - Duration::from_millis(1)));
    }
}
