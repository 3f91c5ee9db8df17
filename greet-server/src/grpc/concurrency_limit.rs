//! Calls at work in the whole process, bounded: who comes over it is refused, not queued.
//!
//! One counter for all workers would be the one cache line that every call moves between cores. So
//! a worker takes concurrency in batches, and keeps a few for its next calls.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A worker keeps at most two batches that it does not use: of a large limit, 2 in 64 may lie idle
/// with the others when one sheds. A limit too small for that is held to the call.
const BATCHES_PER_WORKER: u64 = 64;

/// The concurrency that no worker has taken.
#[derive(Debug, Clone)]
pub(crate) struct ConcurrencyLimit {
    free: Arc<AtomicU64>,
    batch: u64,
}

/// One worker's concurrency.
#[derive(Debug)]
pub(crate) struct WorkerShare {
    concurrency: ConcurrencyLimit,
    held: Cell<u64>,
}

impl ConcurrencyLimit {
    pub(crate) fn new(max_in_flight: u64, workers: u64) -> ConcurrencyLimit {
        let batch = (max_in_flight / (workers * BATCHES_PER_WORKER)).max(1);
        ConcurrencyLimit { free: Arc::new(AtomicU64::new(max_in_flight)), batch }
    }

    pub(crate) fn lease(&self) -> WorkerShare {
        WorkerShare { concurrency: self.clone(), held: Cell::new(0) }
    }
}

impl WorkerShare {
    /// Whether there is a place for one more call. Who gets one gives it back.
    pub(crate) fn take(&self) -> bool {
        if self.held.get() == 0 {
            let batch = self.concurrency.batch;
            let some_of = |free: u64| (free > 0).then(|| free.saturating_sub(batch));
            let free =
                self.concurrency.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, some_of);
            self.held.set(free.map_or(0, |free| free.min(batch)));
        }
        let held = self.held.get();
        self.held.set(held.saturating_sub(1));
        held > 0
    }

    pub(crate) fn give_back(&self) {
        let held = self.held.get() + 1;
        let batch = self.concurrency.batch;
        let kept = if batch == 1 { 0 } else { 2 * batch };
        let returned = if held > kept { held.min(batch) } else { 0 };
        if returned > 0 {
            self.concurrency.free.fetch_add(returned, Ordering::Relaxed);
        }
        self.held.set(held - returned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_limit_is_held_to_the_call_over_all_workers() {
        let concurrency = ConcurrencyLimit::new(3, 2);
        let workers = [concurrency.lease(), concurrency.lease()];
        assert!(workers[0].take() && workers[1].take() && workers[0].take());
        assert!(!workers[0].take() && !workers[1].take());
        workers[1].give_back();
        assert!(workers[0].take());
        assert!(!workers[1].take());
    }

    #[test]
    fn a_large_limit_is_never_passed_and_nearly_reached() {
        let concurrency = ConcurrencyLimit::new(10_000, 4);
        let workers = [(); 4].map(|()| concurrency.lease());
        // All calls of one worker end, and what it keeps is all that the others lack.
        let taken = (0..5_000).filter(|_| workers[0].take()).count();
        assert_eq!(taken, 5_000);
        (0..5_000).for_each(|_| workers[0].give_back());
        let taken = (0..20_000).filter(|call| workers[1 + call % 3].take()).count();
        assert!((9_900..=10_000).contains(&taken), "{taken}");
        assert!(!workers[1].take());
    }
}
