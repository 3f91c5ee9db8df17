//! Bounds the bytes that the daemon holds for its peers: messages that have not arrived as a whole,
//! replies that wait for a window, calls that wait, and each connection itself.
//!
//! Over the limit, the connections that hold most are closed. Holding back flow-control windows
//! instead would stop honest clients for ever: each call would keep a part of the bytes, and none could
//! finish. What a call that finishes at once uses meanwhile is not counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What HTTP/2 keeps for each stream that was open at a time: its tables never shrink. Measured by the
/// benchmark after a burst of 200 calls.
pub(crate) const STREAM_BYTES: usize = 800;
/// A call that waits, without its headers: its task, the record, the handler.
pub(super) const CALL_BYTES: usize = 2 * 1_024;
/// What a generated service adds to [`CALL_BYTES`]: a buffer of 8 KiB each way, and the body.
pub(super) const GENERATED_CALL_BYTES: usize = 18 * 1_024;
/// The cost of a header beside its name and value: an entry of the map, and two allocations.
const HEADER_BYTES: usize = 104;

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
    workers: Box<[WorkerBytes]>,
    leased: AtomicUsize,
}

/// What a worker holds. The alignment keeps two of them off one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct WorkerBytes {
    held: AtomicU64,
    /// What the worker held at its last check.
    checked: AtomicU64,
    close_greediest: Notify,
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
    held: Mutex<ConnectionBytes>,
}

#[derive(Debug, Default)]
struct ConnectionBytes {
    bytes: u64,
    /// Whether the connection is closing, so that its bytes count no longer.
    is_closing: bool,
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    connection: Arc<ConnectionMemory>,
    bytes: usize,
}

impl MemoryLimit {
    pub(crate) fn new(max_bytes: u64, workers: usize) -> Arc<MemoryLimit> {
        Arc::new(MemoryLimit {
            max_bytes,
            checked_bytes: AtomicU64::new(0),
            workers: (0..workers).map(|_| WorkerBytes::default()).collect(),
            leased: AtomicUsize::new(0),
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

    /// Notifies the worker that holds most, if the limit is exceeded.
    fn check(&self) {
        let held = self.held();
        self.checked_bytes.store(held, Ordering::Relaxed);
        if held > self.max_bytes {
            let bytes = |worker: &&WorkerBytes| worker.held.load(Ordering::Relaxed);
            let greediest = self.workers.iter().max_by_key(bytes);
            greediest.expect("there is a worker").close_greediest.notify_one();
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

    /// Completes when the limit is exceeded and this worker holds most.
    pub(crate) async fn limit_exceeded(&self) {
        self.bytes().close_greediest.notified().await;
    }

    /// Returns whether this worker has to close a connection, and otherwise notifies the one that has.
    pub(crate) fn must_close(&self) -> bool {
        if self.limit.held() <= self.limit.max_bytes {
            return false;
        }
        let held = |worker: &WorkerBytes| worker.held.load(Ordering::Relaxed);
        let most = self.limit.workers.iter().map(held).max();
        let is_greediest = most == Some(held(self.bytes()));
        if !is_greediest {
            self.limit.check();
        }
        is_greediest
    }

    /// Counts a new connection.
    pub(crate) fn connection(&self) -> Arc<ConnectionMemory> {
        Arc::new(ConnectionMemory { worker: self.clone(), held: Mutex::default() })
    }

    fn bytes(&self) -> &WorkerBytes {
        &self.limit.workers[self.index]
    }

    fn add(&self, bytes: u64) {
        let held = self.bytes().held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.check_after_step(held);
    }

    fn subtract(&self, bytes: u64) {
        let held = self.bytes().held.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        self.check_after_step(held);
    }

    fn check_after_step(&self, held: u64) {
        let checked = &self.bytes().checked;
        if held.abs_diff(checked.load(Ordering::Relaxed)) >= CHECK_STEP_BYTES {
            checked.store(held, Ordering::Relaxed);
            self.limit.check();
        }
    }
}

impl ConnectionMemory {
    /// Counts `bytes` until the returned value is dropped.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Held {
        let mut held = Held { connection: self.clone(), bytes: 0 };
        held.set(bytes);
        held
    }

    /// Returns the bytes that are held, or zero if the connection is closing.
    pub(crate) fn held(&self) -> u64 {
        let held = self.lock();
        if held.is_closing { 0 } else { held.bytes }
    }

    /// Stops counting the bytes, because the connection is closing and frees them soon.
    pub(crate) fn closing(&self) {
        let mut held = self.lock();
        if !held.is_closing {
            held.is_closing = true;
            self.worker.subtract(held.bytes);
        }
    }

    fn change(&self, old: usize, new: usize) {
        let mut held = self.lock();
        let difference = old.abs_diff(new) as u64;
        if new > old {
            held.bytes += difference;
        } else {
            held.bytes -= difference;
        }
        if held.is_closing {
            return;
        }
        if new > old {
            self.worker.add(difference);
        } else {
            self.worker.subtract(difference);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionBytes> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Returns what is held for the same connection.
    pub(crate) fn connection(&self) -> &Arc<ConnectionMemory> {
        &self.connection
    }

    /// Replaces the number of bytes.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.connection.change(self.bytes, bytes);
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
    use futures_util::FutureExt as _;

    use super::*;

    const MIB: usize = 1_024 * 1_024;

    #[test]
    fn sum_of_all_workers_is_limited() {
        let limit = MemoryLimit::new(10 * MIB as u64, 2);
        let workers = [limit.lease(), limit.lease()];
        let connections = workers.each_ref().map(WorkerMemory::connection);
        let is_exceeded = |worker: &WorkerMemory| worker.limit_exceeded().now_or_never().is_some();
        let _four = connections[0].hold(4 * MIB);
        let mut six = connections[1].hold(6 * MIB);
        assert!(!workers.iter().any(is_exceeded) && !workers.iter().any(WorkerMemory::must_close));

        six.set(6 * MIB + CHECK_STEP_BYTES as usize);
        assert!(!is_exceeded(&workers[0]), "the other worker holds more");
        assert!(is_exceeded(&workers[1]) && workers[1].must_close());
        connections[1].closing();
        assert!(!workers[1].must_close());
        assert_eq!(limit.held(), 4 * MIB as u64);

        // What a closing connection still does does not count.
        six.set(9 * MIB);
        drop(six);
        assert_eq!(limit.held(), 4 * MIB as u64);
    }

    #[test]
    fn worker_that_holds_less_notifies_the_greediest() {
        let limit = MemoryLimit::new(MIB as u64, 2);
        let workers = [limit.lease(), limit.lease()];
        let _held = [workers[0].connection().hold(MIB), workers[1].connection().hold(2 * MIB)];
        assert!(workers[1].limit_exceeded().now_or_never().is_some());
        assert!(!workers[0].must_close());
        assert!(workers[1].limit_exceeded().now_or_never().is_some());
    }

    #[test]
    fn memory_is_short_before_the_limit() {
        let limit = MemoryLimit::new(8 * MIB as u64, 1);
        let worker = limit.lease();
        let mut held = worker.connection().hold(7 * MIB);
        assert!(!worker.is_short());
        held.set(7 * MIB + MIB / 2);
        assert!(worker.is_short());
        held.set(MIB);
        assert!(!worker.is_short());
    }
}
