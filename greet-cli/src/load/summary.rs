//! What all workers have seen, added up: as a whole, and over time.

use std::time::{Duration, SystemTime};

use super::recorder::{Counts, Histogram, REPORT_INTERVAL};
use crate::error::CallError;
use crate::exit::Exit;
use crate::format::HumanDuration;

/// As many as a plot can show; of a longer test an interval is longer.
const MAX_INTERVALS: usize = 600;
/// Calls that begin so much late, because this program was late, are no longer what was asked for.
const MAX_LAG: Duration = Duration::from_millis(1);
/// A thread that has no more of its core left than this had no room for more calls.
const MAX_CPU_SHARE: f64 = 0.95;

/// A load test in figures.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(super) started: SystemTime,
    pub(super) measured: Duration,
    pub(crate) counts: Counts,
    /// Calls that were due in time, and for which there was no room until the end.
    pub(super) not_started: u64,
    /// Of the thread that had the most to do.
    pub(super) cpu_share: Option<f64>,
    pub(super) intervals: Intervals,
    /// How it is to end, if it was not let to its own end.
    pub(super) interrupted: Option<Exit>,
}

/// The figures over time.
#[derive(Debug)]
pub(super) struct Intervals {
    pub(super) length: Duration,
    pub(super) all: Vec<Interval>,
}

/// What ended within an interval.
#[derive(Debug, Clone)]
pub(super) struct Interval {
    pub(super) latency: Histogram,
    pub(super) ok: u64,
    pub(super) failed: u64,
}

impl Summary {
    pub(super) fn new() -> Summary {
        Summary {
            started: SystemTime::now(),
            measured: Duration::ZERO,
            counts: Counts::new(),
            not_started: 0,
            cpu_share: None,
            intervals: Intervals { length: REPORT_INTERVAL, all: Vec::new() },
            interrupted: None,
        }
    }

    /// Of a test that could not begin.
    pub(crate) fn failed(failure: CallError) -> Summary {
        let mut summary = Summary::new();
        summary.counts.first_failure = Some(failure);
        summary
    }

    /// What a worker has seen, so long after the beginning.
    pub(super) fn add(&mut self, elapsed: Duration, seen: Counts) {
        self.intervals.add(elapsed, &seen);
        self.counts.add(seen);
    }

    /// Calls that ended with OK, a second.
    pub(super) fn rps(&self) -> f64 {
        self.counts.ok() as f64 / self.measured.as_secs_f64().max(1e-6)
    }

    /// Of the calls that were due, the share that failed or was never begun.
    pub(super) fn error_rate(&self) -> f64 {
        let bad = self.counts.failed() + self.not_started;
        let all = self.counts.ok() + bad;
        if all == 0 { 0.0 } else { bad as f64 / all as f64 }
    }

    /// Whether the figures are this program's, rather than the server's.
    pub(crate) fn bottleneck(&self) -> Option<String> {
        let lag = Duration::from_micros(self.counts.lag.percentile(99.0));
        // Of fewer calls the one in a hundred is the slowest of all: a start, a hiccup.
        if lag > MAX_LAG && self.counts.lag.count() >= 100 {
            let lag = HumanDuration(lag);
            return Some(format!(
                "one call in a hundred began {lag} late or later, because greet-cli was late"
            ));
        }
        let share = self.cpu_share.filter(|share| *share > MAX_CPU_SHARE)?;
        Some(format!(
            "greet-cli used {:.0} % of a core in one of its threads, and may have been the limit",
            share * 100.0
        ))
    }
}

impl Intervals {
    fn add(&mut self, elapsed: Duration, seen: &Counts) {
        // What is told at the end of an interval was seen in it.
        let at = elapsed.saturating_sub(REPORT_INTERVAL / 2);
        let mut index = self.index(at);
        while index >= MAX_INTERVALS {
            self.fold();
            index = self.index(at);
        }
        if self.all.len() <= index {
            self.all.resize_with(index + 1, Interval::new);
        }
        let interval = &mut self.all[index];
        interval.latency.add(&seen.latency);
        interval.ok += seen.ok();
        interval.failed += seen.failed();
    }

    fn index(&self, at: Duration) -> usize {
        usize::try_from(at.as_nanos() / self.length.as_nanos()).unwrap_or(usize::MAX)
    }

    /// Two become one.
    fn fold(&mut self) {
        self.length *= 2;
        let pairs = self.all.chunks(2).map(|pair| {
            let mut sum = Interval::new();
            for interval in pair {
                sum.latency.add(&interval.latency);
                sum.ok += interval.ok;
                sum.failed += interval.failed;
            }
            sum
        });
        self.all = pairs.collect();
    }
}

impl Interval {
    fn new() -> Interval {
        Interval { latency: Histogram::coarse(), ok: 0, failed: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_test_is_folded_into_at_most_max_intervals() {
        let mut summary = Summary::new();
        let mut seen = Counts::new();
        let failed = crate::error::ConnectError::Refused { peer: String::new() };
        let mut call = crate::client::Call::<()>::new(std::sync::Arc::new("a:1".parse().unwrap()));
        seen.record(Duration::from_micros(70), &call);
        call.result = Err(failed.into());
        seen.record(Duration::from_micros(70), &call);
        for tick in 1..=5_000 {
            summary.add(REPORT_INTERVAL * tick, seen.clone());
        }
        let Intervals { length, all } = &summary.intervals;
        assert_eq!((*length, all.len()), (16 * REPORT_INTERVAL, 5_000_usize.div_ceil(16)));
        assert_eq!(all.iter().map(|interval| interval.ok).sum::<u64>(), 5_000);
        assert_eq!(all[0].ok, 16);
        assert_eq!(all[0].latency.max(), 70);
        assert_eq!(summary.error_rate(), 0.5);
    }
}
