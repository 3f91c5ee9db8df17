//! Aggregates the counts of all workers, in total and over time.

use std::time::{Duration, SystemTime};

use super::recorder::{Counts, Histogram, REPORT_INTERVAL};
use crate::client::ConnectFailures;
use crate::error::CallError;
use crate::exit::Exit;
use crate::format::HumanDuration;

/// Maximum intervals of a plot; a longer test has longer intervals.
const MAX_INTERVALS: usize = 600;
/// Maximum delay of calls at a rate that greet-cli may cause.
const MAX_LAG: Duration = Duration::from_millis(1);
/// Maximum CPU time of a thread, as a share of one core.
const MAX_CPU_SHARE: f64 = 0.95;

/// The results of a load test.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(super) started: SystemTime,
    pub(super) measured: Duration,
    pub(crate) counts: Counts,
    /// Calls that were due but not started, because the concurrency limit was reached.
    pub(super) not_started: u64,
    /// CPU time of the busiest thread, as a share of one core.
    pub(super) cpu_share: Option<f64>,
    pub(super) intervals: Intervals,
    /// From the start of the command, because a dead server is not tried often.
    pub(crate) connect_failures: ConnectFailures,
    /// The exit code of the signal that ended it.
    pub(super) interrupted: Option<Exit>,
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
    pub(super) fn new() -> Summary {
        Summary {
            started: SystemTime::now(),
            measured: Duration::ZERO,
            counts: Counts::default(),
            not_started: 0,
            cpu_share: None,
            intervals: Intervals { length: REPORT_INTERVAL, all: Vec::new() },
            connect_failures: ConnectFailures::default(),
            interrupted: None,
        }
    }

    /// Returns the summary of a test that could not start.
    pub(crate) fn failed(failure: CallError) -> Summary {
        let mut summary = Summary::new();
        summary.counts.first_failure = Some(failure);
        summary
    }

    /// Adds the counts of a worker, reported at `elapsed`.
    pub(super) fn add(&mut self, elapsed: Duration, counts: Counts) {
        self.intervals.add(elapsed, &counts);
        self.counts.add(counts);
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

    /// Returns the reason to believe that greet-cli, not the server, limited the results.
    pub(crate) fn bottleneck(&self) -> Option<String> {
        let lag = Duration::from_micros(self.counts.lag.percentile(99.0));
        // Of fewer calls, the 99th percentile is the single slowest.
        if lag > MAX_LAG && self.counts.lag.count() >= 100 {
            let lag = HumanDuration(lag);
            return Some(format!("1 % of the calls started at least {lag} late"));
        }
        let share = self.cpu_share.filter(|share| *share > MAX_CPU_SHARE)?;
        let percent = share * 100.0;
        Some(format!("greet-cli used {percent:.0} % of a core in one thread and may be the limit"))
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
        let mut summary = Summary::new();
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
