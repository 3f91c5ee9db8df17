//! Limits the concurrent calls of the process, of each kind. A call over the limit is rejected, not
//! queued.
//!
//! The last quarter of a limit is for connections with few calls. So connections with as many calls
//! as they may open are refused first, and do not take the service from the others.
//!
//! A single counter would move its cache line between cores at every call. So a worker acquires
//! permits in batches and keeps unused ones for its next calls.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Batches per worker in the limit. A worker keeps at most two unused batches, so while one rejects
/// calls, others can have up to 2/64 of a large limit unused. A small limit is exact.
const BATCHES_PER_WORKER: u64 = 64;

/// The part of a limit that is for connections with fewer than [`FEW_CALLS`], as its divisor. By
/// default it is enough for 312 of them.
const RESERVED_PART: u64 = 4;
/// As many calls as an interactive client or a probe makes at a time.
const FEW_CALLS: u64 = 8;

/// The permits that no worker has acquired.
#[derive(Debug, Clone)]
pub(crate) struct ConcurrencyLimit {
    free: Arc<AtomicU64>,
    batch: u64,
    reserved: u64,
}

/// The permits of one worker.
#[derive(Debug)]
pub(crate) struct WorkerShare {
    limit: ConcurrencyLimit,
    unused: Cell<u64>,
}

impl ConcurrencyLimit {
    pub(crate) fn new(max_calls: u64, workers: u64) -> ConcurrencyLimit {
        let batch = (max_calls / (workers * BATCHES_PER_WORKER)).max(1);
        let (free, reserved) = (Arc::new(AtomicU64::new(max_calls)), max_calls / RESERVED_PART);
        ConcurrencyLimit { free, batch, reserved }
    }

    pub(crate) fn lease(&self) -> WorkerShare {
        WorkerShare { limit: self.clone(), unused: Cell::new(0) }
    }

    /// Acquires a batch, or the rest. Returns the number of permits.
    fn acquire_batch(&self) -> u64 {
        let rest = |free: u64| (free > 0).then(|| free.saturating_sub(self.batch));
        let free = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        free.map_or(0, |free| free.min(self.batch))
    }
}

impl WorkerShare {
    /// Acquires a permit for a call of a connection that has `held` permits. Returns false at the
    /// limit, or if the rest is reserved for other connections.
    pub(crate) fn try_acquire(&self, held: u64) -> bool {
        if self.unused.get() == 0 {
            self.unused.set(self.limit.acquire_batch());
        }
        let unused = self.unused.get();
        let free = || unused + self.limit.free.load(Ordering::Relaxed);
        let is_acquired = unused > 0 && (held < FEW_CALLS || free() > self.limit.reserved);
        self.unused.set(unused - u64::from(is_acquired));
        is_acquired
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

    /// The share of a connection without calls.
    const IDLE: u64 = 0;

    #[test]
    fn small_limit_is_exact_over_all_workers() {
        let limit = ConcurrencyLimit::new(3, 2);
        let workers = [limit.lease(), limit.lease()];
        assert!(workers[0].try_acquire(IDLE));
        assert!(workers[1].try_acquire(IDLE));
        assert!(workers[0].try_acquire(IDLE));
        assert!(!workers[0].try_acquire(IDLE) && !workers[1].try_acquire(IDLE));
        workers[1].release();
        assert!(workers[0].try_acquire(IDLE));
        assert!(!workers[1].try_acquire(IDLE));
    }

    #[test]
    fn large_limit_is_never_exceeded_and_nearly_reached() {
        let limit = ConcurrencyLimit::new(10_000, 4);
        let workers = [(); 4].map(|()| limit.lease());
        // After all calls of one worker have ended, the others lack only its unused permits.
        let acquired = (0..5_000).filter(|_| workers[0].try_acquire(IDLE)).count();
        assert_eq!(acquired, 5_000);
        (0..5_000).for_each(|_| workers[0].release());
        let acquired = (0..20_000).filter(|call| workers[1 + call % 3].try_acquire(IDLE)).count();
        assert!((9_900..=10_000).contains(&acquired), "{acquired}");
        assert!(!workers[1].try_acquire(IDLE));
    }

    /// Acquires permits for one connection until it is refused.
    fn acquire_all(worker: &WorkerShare) -> u64 {
        (0..).take_while(|held| worker.try_acquire(*held)).count() as u64
    }

    #[test]
    fn one_connection_can_use_eight_permits_or_three_quarters() {
        let used = |max_calls| acquire_all(&ConcurrencyLimit::new(max_calls, 1).lease());
        assert_eq!([used(1), used(8), used(9), used(10)], [1, 8, 8, 8]);
        assert_eq!(used(10_000), 7_500);
    }

    #[test]
    fn last_quarter_is_for_connections_with_few_calls() {
        let limit = ConcurrencyLimit::new(10_000, 2);
        let workers = [limit.lease(), limit.lease()];
        let acquired = |connections: usize| -> u64 {
            (0..connections).map(|connection| acquire_all(&workers[connection % 2])).sum()
        };
        assert!((7_500..8_000).contains(&acquired(20)));
        assert_eq!(acquired(200), 200 * FEW_CALLS);
        assert!(workers.iter().all(|worker| worker.try_acquire(IDLE)));
    }
}
