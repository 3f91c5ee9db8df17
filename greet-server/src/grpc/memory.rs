//! Bounds the bytes that the daemon holds for its peers: messages that have not arrived as a whole,
//! replies that wait for a window, calls that wait, and each connection itself.
//!
//! Over the limit, the connections that hold most are closed. Holding back flow-control windows
//! instead would stop honest clients for ever: each call would keep a part of the bytes, and none could
//! finish. What a call that finishes at once uses meanwhile is not counted.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use tokio::sync::oneshot;

use crate::telemetry::metrics::close_reason::CloseReason;

/// What HTTP/2 keeps for each stream that was open at a time: its tables never shrink. Measured by the
/// benchmark after a burst of 200 calls.
pub(crate) const STREAM_BYTES: usize = 800;
/// A call that waits, without its headers: its task, the record, the handler.
pub(super) const CALL_BYTES: usize = 2 * 1_024;
/// What a generated service adds to [`CALL_BYTES`]: a buffer of 8 KiB, and the body.
pub(super) const GENERATED_CALL_BYTES: usize = 10 * 1_024;
/// A reply that waits in HTTP/2, without its message: headers, trailers, the record of its call.
pub(super) const REPLY_BYTES: usize = 1_536;
/// The cost of a header beside its name and value: an entry of the map, and two allocations.
const HEADER_BYTES: usize = 104;

/// A connection whose calls hold less may start calls that wait, even while the limit is exceeded: a
/// client that makes a few calls notices nothing.
const FEW_CALLS_BYTES: u64 = 48 * 1_024;
/// A worker compares the sum of all workers with the limit whenever its own part has changed by this.
const CHECK_STEP_BYTES: u64 = 64 * 1_024;
/// The part of the limit from which each turn of a connection reads little, as a fraction.
const SHORT: (u64, u64) = (7, 8);

/// The limit of the process, and what each worker holds.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    max_bytes: u64,
    /// The sum at the last check.
    checked_bytes: AtomicU64,
    /// The part of the sum that closing connections free soon.
    closing_bytes: AtomicU64,
    workers: Box<[WorkerBytes]>,
    leased: AtomicUsize,
    connections: Mutex<HashMap<u64, Weak<ConnectionMemory>>>,
    opened: AtomicU64,
}

/// What a worker holds. The alignment keeps two of them off one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct WorkerBytes {
    held: AtomicU64,
    /// What the worker held at its last check.
    checked: AtomicU64,
}

/// The part of one worker.
#[derive(Debug, Clone)]
pub(crate) struct WorkerMemory {
    limit: Arc<MemoryLimit>,
    index: usize,
}

/// What is held for one connection. Any thread may drop a part of it with a request.
#[derive(Debug)]
pub(crate) struct ConnectionMemory {
    worker: WorkerMemory,
    id: u64,
    held: Mutex<ConnectionBytes>,
}

#[derive(Debug)]
struct ConnectionBytes {
    bytes: u64,
    /// The part of them that calls hold.
    call_bytes: u64,
    /// `None` once a close was requested.
    close: Option<oneshot::Sender<CloseReason>>,
    /// Whether the bytes count as those of a closing connection.
    is_closing: bool,
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    connection: Arc<ConnectionMemory>,
    bytes: usize,
    is_call: bool,
}

impl MemoryLimit {
    pub(crate) fn new(max_bytes: u64, workers: usize) -> Arc<MemoryLimit> {
        Arc::new(MemoryLimit {
            max_bytes,
            checked_bytes: AtomicU64::new(0),
            closing_bytes: AtomicU64::new(0),
            workers: (0..workers).map(|_| WorkerBytes::default()).collect(),
            leased: AtomicUsize::new(0),
            connections: Mutex::default(),
            opened: AtomicU64::new(0),
        })
    }

    /// Returns the part of a worker; each worker takes one.
    pub(crate) fn lease(self: &Arc<Self>) -> WorkerMemory {
        let index = self.leased.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        WorkerMemory { limit: self.clone(), index }
    }

    /// Returns the bytes that all workers hold.
    pub(crate) fn held(&self) -> u64 {
        self.workers.iter().map(|worker| worker.held.load(Ordering::Relaxed)).sum()
    }

    /// Closes the connections that hold most, if the limit is exceeded without those that are closing.
    fn check(&self) {
        let held = self.held();
        self.checked_bytes.store(held, Ordering::Relaxed);
        let closing = self.closing_bytes.load(Ordering::Relaxed);
        let mut excess = held.saturating_sub(closing).saturating_sub(self.max_bytes);
        if excess == 0 {
            return;
        }
        // Another thread that holds the lock closes connections, or its connection opens or ends: the
        // next step checks again.
        let connections = match self.connections.try_lock() {
            Ok(connections) => connections,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let mut greediest: Vec<_> = connections.values().filter_map(Weak::upgrade).collect();
        drop(connections); // the drop of a connection takes the lock
        greediest.sort_by_cached_key(|connection| Reverse(connection.held()));
        for connection in greediest {
            if excess == 0 {
                return;
            }
            excess = excess.saturating_sub(connection.close_greedy());
        }
    }
}

impl WorkerMemory {
    /// Returns whether little is left of the limit.
    pub(crate) fn is_short(&self) -> bool {
        let (numerator, denominator) = SHORT;
        let checked_bytes = self.limit.checked_bytes.load(Ordering::Relaxed);
        checked_bytes > self.limit.max_bytes / denominator * numerator
    }

    /// Counts a new connection. The receiver gets the reason when the connection has to close at once.
    pub(crate) fn connection(&self) -> (Arc<ConnectionMemory>, oneshot::Receiver<CloseReason>) {
        let id = self.limit.opened.fetch_add(1, Ordering::Relaxed);
        let (close, closing) = oneshot::channel();
        let held =
            ConnectionBytes { bytes: 0, call_bytes: 0, close: Some(close), is_closing: false };
        let connection =
            Arc::new(ConnectionMemory { worker: self.clone(), id, held: Mutex::new(held) });
        lock(&self.limit.connections).insert(id, Arc::downgrade(&connection));
        (connection, closing)
    }

    fn add(&self, bytes: u64) -> u64 {
        let held = &self.limit.workers[self.index].held;
        held.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    fn subtract(&self, bytes: u64) -> u64 {
        let held = &self.limit.workers[self.index].held;
        held.fetch_sub(bytes, Ordering::Relaxed) - bytes
    }

    fn check_after_step(&self, held: u64) {
        let checked = &self.limit.workers[self.index].checked;
        if held.abs_diff(checked.load(Ordering::Relaxed)) >= CHECK_STEP_BYTES {
            checked.store(held, Ordering::Relaxed);
            self.limit.check();
        }
    }
}

impl ConnectionMemory {
    /// Counts `bytes` of a call until the returned value is dropped.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Held {
        let mut held = Held { connection: self.clone(), bytes: 0, is_call: true };
        held.set(bytes);
        held
    }

    /// Counts `bytes` of the connection itself until the returned value is dropped.
    pub(crate) fn hold_fixed(self: &Arc<Self>, bytes: usize) -> Held {
        let mut held = Held { connection: self.clone(), bytes: 0, is_call: false };
        held.set(bytes);
        held
    }

    /// Closes the connection with ENHANCE_YOUR_CALM before its next turn. The first reason counts.
    pub(crate) fn close(&self, reason: CloseReason) {
        if let Some(close) = lock(&self.held).close.take() {
            let _ = close.send(reason); // fails if the connection has ended
        }
    }

    /// Returns whether a call may wait: not if the limit is exceeded and the calls of this connection
    /// hold more than a few do.
    pub(super) fn admits_waiting_call(&self) -> bool {
        let limit = &self.worker.limit;
        // The sum of the last check may be older by a step of each worker.
        limit.checked_bytes.load(Ordering::Relaxed) <= limit.max_bytes
            || limit.held() <= limit.max_bytes
            || lock(&self.held).call_bytes <= FEW_CALLS_BYTES
    }

    fn held(&self) -> u64 {
        lock(&self.held).bytes
    }

    /// Closes the connection because it holds too much. Returns the bytes that it will free.
    fn close_greedy(&self) -> u64 {
        let mut held = lock(&self.held);
        if held.is_closing {
            return 0;
        }
        held.is_closing = true;
        self.worker.limit.closing_bytes.fetch_add(held.bytes, Ordering::Relaxed);
        if let Some(close) = held.close.take() {
            let _ = close.send(CloseReason::MemoryLimit);
        }
        held.bytes
    }

    fn change(&self, old: usize, new: usize, is_call: bool) {
        let mut held = lock(&self.held);
        if is_call {
            held.call_bytes = held.call_bytes + new as u64 - old as u64;
        }
        let difference = old.abs_diff(new) as u64;
        let closing_bytes = &self.worker.limit.closing_bytes;
        let worker_held = if new > old {
            held.bytes += difference;
            if held.is_closing {
                closing_bytes.fetch_add(difference, Ordering::Relaxed);
            }
            self.worker.add(difference)
        } else {
            held.bytes -= difference;
            if held.is_closing {
                closing_bytes.fetch_sub(difference, Ordering::Relaxed);
            }
            self.worker.subtract(difference)
        };
        drop(held); // the check takes the lock of each connection
        self.worker.check_after_step(worker_held);
    }
}

impl Drop for ConnectionMemory {
    fn drop(&mut self) {
        lock(&self.worker.limit.connections).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Held {
    /// Returns what is held for the same connection.
    pub(crate) fn connection(&self) -> &Arc<ConnectionMemory> {
        &self.connection
    }

    /// Replaces the number of bytes.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.connection.change(self.bytes, bytes, self.is_call);
            self.bytes = bytes;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Estimates the memory of a header map.
pub(super) fn header_bytes(headers: &http::HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1_024 * 1_024;

    struct Connection(Arc<ConnectionMemory>, oneshot::Receiver<CloseReason>);

    impl Connection {
        fn new(worker: &WorkerMemory) -> Connection {
            let (memory, closing) = worker.connection();
            Connection(memory, closing)
        }

        fn is_closed(&mut self) -> bool {
            self.1.try_recv() == Ok(CloseReason::MemoryLimit)
        }
    }

    #[test]
    fn greediest_connection_of_all_workers_is_closed() {
        let limit = MemoryLimit::new(10 * MIB as u64, 2);
        let workers = [limit.lease(), limit.lease()];
        let mut small = Connection::new(&workers[0]);
        let mut large = Connection::new(&workers[1]);
        let mut many: Vec<_> = (0..3).map(|_| Connection::new(&workers[0])).collect();
        let mut held = [small.0.hold(MIB), large.0.hold(4 * MIB)];
        let _many: Vec<_> = many.iter().map(|connection| connection.0.hold(MIB * 3 / 2)).collect();
        assert!(!small.is_closed() && !large.is_closed(), "the limit is reached, not exceeded");

        held[0].set(2 * MIB);
        assert!(large.is_closed(), "although its worker holds less than the other");
        assert!(!small.is_closed() && !many.iter_mut().any(Connection::is_closed));

        // Until the bytes are free they count, but close no further connection.
        assert_eq!(limit.held(), (10 * MIB + MIB / 2) as u64);
        held[1].set(6 * MIB);
        held[0].set(3 * MIB);
        assert!(!small.is_closed() && !many.iter_mut().any(Connection::is_closed));
        held[1].set(0);
        assert_eq!((limit.held(), limit.closing_bytes.load(Ordering::Relaxed)), (7_864_320, 0));
    }

    #[test]
    fn over_the_limit_only_connections_with_few_calls_start_calls_that_wait() {
        let limit = MemoryLimit::new(MIB as u64, 1);
        let worker = limit.lease();
        let (small, large) = (Connection::new(&worker), Connection::new(&worker));
        let _held = [small.0.hold_fixed(64 * 1_024), large.0.hold(MIB - 64 * 1_024)];
        assert!(small.0.admits_waiting_call() && large.0.admits_waiting_call());
        let _more = large.0.hold(CHECK_STEP_BYTES as usize);
        assert!(small.0.admits_waiting_call() && !large.0.admits_waiting_call());
    }

    #[test]
    fn connection_that_has_ended_is_forgotten() {
        let limit = MemoryLimit::new(MIB as u64, 1);
        let connection = Connection::new(&limit.lease());
        let held = connection.0.hold(1);
        drop(connection);
        assert_eq!(limit.connections.lock().unwrap().len(), 1);
        drop(held);
        assert_eq!((limit.connections.lock().unwrap().len(), limit.held()), (0, 0));
    }

    #[test]
    fn memory_is_short_before_the_limit() {
        let limit = MemoryLimit::new(8 * MIB as u64, 1);
        let worker = limit.lease();
        let mut held = worker.connection().0.hold(7 * MIB);
        assert!(!worker.is_short());
        held.set(7 * MIB + MIB / 2);
        assert!(worker.is_short());
        held.set(MIB);
        assert!(!worker.is_short());
    }
}
