//! Limits the concurrent calls of the process. A call over the limit is rejected, not queued.
//!
//! A single counter would move its cache line between cores at every call. So a worker acquires
//! permits in batches and keeps a few for its next calls.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Batches in the limit, per worker. A worker keeps at most two unused batches, so up to 2/64 of a
/// large limit can be unused on other workers while one rejects calls. A small limit is exact.
const BATCHES_PER_WORKER: u64 = 64;

/// The permits that no worker has acquired.
#[derive(Debug, Clone)]
pub(crate) struct ConcurrencyLimit {
    free: Arc<AtomicU64>,
    batch: u64,
}

/// The permits of one worker.
#[derive(Debug)]
pub(crate) struct WorkerShare {
    limit: ConcurrencyLimit,
    unused: Cell<u64>,
}

impl ConcurrencyLimit {
    pub(crate) fn new(max_in_flight: u64, workers: u64) -> ConcurrencyLimit {
        let batch = (max_in_flight / (workers * BATCHES_PER_WORKER)).max(1);
        ConcurrencyLimit { free: Arc::new(AtomicU64::new(max_in_flight)), batch }
    }

    pub(crate) fn lease(&self) -> WorkerShare {
        WorkerShare { limit: self.clone(), unused: Cell::new(0) }
    }

    /// Returns the number of acquired permits: a batch, or the rest.
    fn acquire_batch(&self) -> u64 {
        let rest = |free: u64| (free > 0).then(|| free.saturating_sub(self.batch));
        let free = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        free.map_or(0, |free| free.min(self.batch))
    }
}

impl WorkerShare {
    /// Acquires a permit for one call, to be released at its end. Returns false at the limit.
    pub(crate) fn try_acquire(&self) -> bool {
        if self.unused.get() == 0 {
            self.unused.set(self.limit.acquire_batch());
        }
        let unused = self.unused.get();
        self.unused.set(unused.saturating_sub(1));
        unused > 0
    }

    pub(crate) fn release(&self) {
        let unused = self.unused.get() + 1;
        let batch = self.limit.batch;
        let max_unused = if batch == 1 { 0 } else { 2 * batch };
        let returned = if unused > max_unused { unused.min(batch) } else { 0 };
        if returned > 0 {
            self.limit.free.fetch_add(returned, Ordering::Relaxed);
        }
        self.unused.set(unused - returned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_limit_is_exact_over_all_workers() {
        let limit = ConcurrencyLimit::new(3, 2);
        let workers = [limit.lease(), limit.lease()];
        assert!(workers[0].try_acquire() && workers[1].try_acquire() && workers[0].try_acquire());
        assert!(!workers[0].try_acquire() && !workers[1].try_acquire());
        workers[1].release();
        assert!(workers[0].try_acquire());
        assert!(!workers[1].try_acquire());
    }

    #[test]
    fn large_limit_is_never_exceeded_and_nearly_reached() {
        let limit = ConcurrencyLimit::new(10_000, 4);
        let workers = [(); 4].map(|()| limit.lease());
        // After all calls of one worker have ended, the others lack only its unused permits.
        let acquired = (0..5_000).filter(|_| workers[0].try_acquire()).count();
        assert_eq!(acquired, 5_000);
        (0..5_000).for_each(|_| workers[0].release());
        let acquired = (0..20_000).filter(|call| workers[1 + call % 3].try_acquire()).count();
        assert!((9_900..=10_000).contains(&acquired), "{acquired}");
        assert!(!workers[1].try_acquire());
    }
}
