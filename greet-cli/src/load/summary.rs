//! Aggregates the counts of all workers, in total and over time.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::by_target::ByTarget;
use super::recorder::{Counts, Histogram, REPORT_INTERVAL, Throughput};
use crate::client::{ConnectFailure, ConnectFailures};
use crate::exit::Exit;

/// Maximum intervals of a plot; a longer test has longer intervals.
const MAX_INTERVALS: usize = 600;

/// The results of a load test, or of one of its runs.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Calls per second, of an open loop.
    pub(super) rate: Option<f64>,
    pub(super) started: SystemTime,
    pub(super) measured: Duration,
    pub(crate) counts: Counts,
    /// Calls that were due but not started, because the concurrency limit was reached.
    pub(super) not_started: u64,
    /// Calls that an interrupt left in flight.
    pub(super) unfinished: u64,
    /// CPU time of the busiest thread, as a share of one core.
    pub(super) cpu_share: Option<f64>,
    /// The share of the time in which the busiest thread had work to do.
    pub(super) busy_share: Option<f64>,
    /// Calls that were due and calls that ended OK in the second half of a run at a rate.
    throughput: (u64, u64),
    pub(super) by_target: ByTarget,
    pub(super) intervals: Intervals,
    /// From the start of the command, because a dead server is not tried often.
    pub(crate) connect_failures: ConnectFailures,
    /// The exit code of the signal that ended it.
    pub(super) interrupted: Option<Exit>,
}

/// The results of one worker in one run, beyond its counts.
#[derive(Debug)]
pub(super) struct WorkerResult {
    /// The end of the last call.
    pub(super) at: Instant,
    /// Calls that were due but not started, because the concurrency limit was reached.
    pub(super) not_started: u64,
    /// Calls that an interrupt left in flight.
    pub(super) unfinished: u64,
    /// CPU time of the thread during the measurement, as a share of one core.
    pub(super) cpu_share: Option<f64>,
    /// The share of the measurement in which the thread had work to do, with or without a core.
    pub(super) busy_share: Option<f64>,
    /// From the start of the command.
    pub(super) connect_failures: Vec<ConnectFailure>,
    pub(super) throughput: Throughput,
    pub(super) by_target: ByTarget,
}

/// The results over time.
#[derive(Debug)]
pub(super) struct Intervals {
    pub(super) length: Duration,
    pub(super) all: Vec<Interval>,
}

/// The calls that ended within an interval.
#[derive(Debug, Clone)]
pub(super) struct Interval {
    /// Latencies of the calls that ended OK.
    pub(super) latency: Histogram,
    pub(super) failed: u64,
}

impl Summary {
    pub(super) fn new(rate: Option<f64>) -> Summary {
        Summary {
            rate,
            started: SystemTime::now(),
            measured: Duration::ZERO,
            counts: Counts::default(),
            not_started: 0,
            unfinished: 0,
            cpu_share: None,
            busy_share: None,
            throughput: (0, 0),
            by_target: ByTarget::default(),
            intervals: Intervals { length: REPORT_INTERVAL, all: Vec::new() },
            connect_failures: ConnectFailures::default(),
            interrupted: None,
        }
    }

    /// Adds the counts of a worker, reported at `elapsed`.
    pub(super) fn add(&mut self, elapsed: Duration, counts: Counts) {
        self.intervals.add(elapsed, &counts);
        self.counts.add(counts);
    }

    /// Adds the results of a worker that has ended.
    pub(super) fn add_worker(&mut self, result: WorkerResult) {
        let max = |one: Option<f64>, other| one.into_iter().chain(other).reduce(f64::max);
        self.not_started += result.not_started;
        self.unfinished += result.unfinished;
        self.cpu_share = max(self.cpu_share, result.cpu_share);
        self.busy_share = max(self.busy_share, result.busy_share);
        self.throughput.0 += result.throughput.due;
        self.throughput.1 += result.throughput.ok;
        self.connect_failures.add(result.connect_failures);
        self.by_target.add(result.by_target);
    }

    /// Returns the calls that were due and those that ended OK in the second half of a run at a rate.
    pub(super) fn throughput(&self) -> (u64, u64) {
        self.throughput
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.is_some()
    }

    /// Returns whether nothing was measured.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.ok() + self.counts.failed() + self.not_started == 0
    }

    /// Returns the calls that ended OK per second.
    pub(super) fn rps(&self) -> f64 {
        self.counts.ok() as f64 / self.measured.as_secs_f64().max(1e-6)
    }

    /// Returns the share of calls that failed or were not started.
    pub(super) fn error_rate(&self) -> f64 {
        let errors = self.counts.failed() + self.not_started;
        errors as f64 / (self.counts.ok() + errors).max(1) as f64
    }
}

impl Intervals {
    fn add(&mut self, elapsed: Duration, counts: &Counts) {
        // Counts that are reported at the end of an interval belong to it.
        let at = elapsed.saturating_sub(REPORT_INTERVAL / 2);
        let mut index = self.index(at);
        while index >= MAX_INTERVALS {
            self.fold();
            index = self.index(at);
        }
        if self.all.len() <= index {
            self.all.resize_with(index + 1, Interval::new);
        }
        self.all[index].add(&counts.latency, counts.failed());
    }

    fn index(&self, at: Duration) -> usize {
        usize::try_from(at.as_nanos() / self.length.as_nanos()).unwrap_or(usize::MAX)
    }

    /// Merges pairs of intervals.
    fn fold(&mut self) {
        self.length *= 2;
        let pairs = self.all.chunks(2).map(|pair| {
            let mut sum = Interval::new();
            pair.iter().for_each(|interval| sum.add(&interval.latency, interval.failed));
            sum
        });
        self.all = pairs.collect();
    }
}

impl Interval {
    fn new() -> Interval {
        Interval { latency: Histogram::coarse(), failed: 0 }
    }

    fn add(&mut self, latency: &Histogram, failed: u64) {
        self.latency.add(latency);
        self.failed += failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_test_is_folded_into_at_most_max_intervals() {
        let mut summary = Summary::new(None);
        let mut counts = Counts::default();
        let failed = crate::error::ConnectError::Refused { peer: String::new() };
        let target = std::sync::Arc::new("a:1".parse().unwrap());
        let mut call = crate::client::Call::<()>::new(target);
        counts.record(Duration::from_micros(70), &call);
        call.result = Err(failed.into());
        counts.record(Duration::from_micros(70), &call);
        for tick in 1..=5_000 {
            summary.add(REPORT_INTERVAL * tick, counts.clone());
        }
        let Intervals { length, all } = &summary.intervals;
        assert_eq!((*length, all.len()), (16 * REPORT_INTERVAL, 5_000_usize.div_ceil(16)));
        assert_eq!(all.iter().map(|interval| interval.latency.count()).sum::<u64>(), 5_000);
        assert_eq!((all[0].latency.count(), all[0].failed), (16, 16));
        assert_eq!(all[0].latency.max(), 70);
        assert_eq!(summary.error_rate(), 0.5);
    }
}
