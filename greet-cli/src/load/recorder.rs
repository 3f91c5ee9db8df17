//! Records the counts and latencies of one worker between two reports, without a lock.

use std::ops::Range;
use std::time::Duration;

use greet_proto::status::{self, code_name};
use hdrhistogram::Histogram as Hdr;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tonic::Code;

use crate::client::Call;
use crate::error::{CallError, Stage};

/// The interval at which a worker reports its counts.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// The counts of one worker, or of all.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    /// Latencies of the calls that ended OK.
    pub(super) latency: Histogram,
    /// Calls that were sent, by status.
    by_status: [u64; status::COUNT],
    by_stage: [u64; Stage::ALL.len()],
    /// Delays of the release of calls at a rate, which greet-cli caused.
    pub(super) lag: Histogram,
    /// Delays of the start of calls at a rate: `lag`, and the wait for a free caller.
    pub(super) lateness: Histogram,
    /// HTTP/2 bytes.
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    pub(crate) first_failure: Option<CallError>,
}

impl Counts {
    /// Records a call that has ended; its latency counts from the time at which it was due.
    pub(super) fn record<Reply>(&mut self, latency: Duration, call: &Call<Reply>) {
        let Err(failure) = &call.result else {
            self.by_status[Code::Ok as usize] += 1;
            return self.latency.record(latency);
        };
        if let Some(status) = failure.status() {
            self.by_status[status.code() as usize] += 1;
        }
        self.by_stage[failure.stage() as usize] += 1;
        self.first_failure.get_or_insert_with(|| failure.clone());
    }

    pub(super) fn add(&mut self, other: Counts) {
        self.latency.add(&other.latency);
        self.lag.add(&other.lag);
        self.lateness.add(&other.lateness);
        for (sum, count) in self.by_status.iter_mut().zip(other.by_status) {
            *sum += count;
        }
        for (sum, count) in self.by_stage.iter_mut().zip(other.by_stage) {
            *sum += count;
        }
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    pub(crate) fn ok(&self) -> u64 {
        self.latency.count()
    }

    pub(super) fn failed(&self) -> u64 {
        self.by_stage.iter().sum()
    }

    /// Returns the statuses that occurred.
    pub(super) fn by_status(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = (0..).map(|code| code_name(Code::from_i32(code))).zip(self.by_status);
        all.filter(|(_, count)| *count > 0)
    }

    /// Returns the stages at which calls failed.
    pub(super) fn by_stage(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = Stage::ALL.into_iter().map(Stage::name).zip(self.by_stage);
        all.filter(|(_, count)| *count > 0)
    }
}

/// The calls in the second half of a run at a rate. A server that does not keep up is full of calls
/// by then, so that it ends as many as it can, and fewer than are due.
#[derive(Debug, Clone)]
pub(super) struct Throughput {
    half: Range<Instant>,
    /// Calls that were due.
    pub(super) due: u64,
    /// Calls that ended OK.
    pub(super) ok: u64,
}

impl Throughput {
    pub(super) fn new(half: Range<Instant>) -> Throughput {
        Throughput { half, due: 0, ok: 0 }
    }

    pub(super) fn due(&mut self, due: Instant) {
        self.due += u64::from(self.half.contains(&due));
    }

    pub(super) fn ended_ok(&mut self, ended: Instant) {
        self.ok += u64::from(self.half.contains(&ended));
    }
}

/// Significant digits of a latency.
const DIGITS: u8 = 3;
/// Significant digits in the plots, of which there are many.
const COARSE_DIGITS: u8 = 2;

/// The calls with a latency of at least `from_us` and below `to_us`.
#[derive(Debug, Serialize)]
pub(super) struct Bucket {
    pub(super) from_us: u64,
    pub(super) to_us: u64,
    pub(super) calls: u64,
}

/// Figures of latencies in microseconds, as in the report.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct LatencyFigures {
    pub(super) min: u64,
    pub(super) mean: f64,
    pub(super) stddev: f64,
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p99_9: u64,
    pub(super) p99_99: u64,
    pub(super) max: u64,
}

/// Figures of delays in microseconds, as in the report.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct LatenessFigures {
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

/// A histogram of latencies in microseconds.
#[derive(Debug, Clone)]
pub(crate) struct Histogram(Hdr<u64>);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::of(DIGITS)
    }
}

impl Histogram {
    /// Returns a smaller histogram, which is accurate to one percent.
    pub(super) fn coarse() -> Histogram {
        Histogram::of(COARSE_DIGITS)
    }

    fn of(digits: u8) -> Histogram {
        Histogram(Hdr::new(digits).expect("the number of digits is valid"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        // It grows with its values; if it cannot, its maximum is recorded.
        if self.0.record(micros).is_err() {
            self.0.saturating_record(micros);
        }
    }

    pub(super) fn add(&mut self, other: &Histogram) {
        self.0.add(&other.0).expect("histograms grow with their values");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn percentile(&self, percentile: f64) -> u64 {
        self.0.value_at_percentile(percentile).min(self.0.max())
    }

    /// Returns its figures, if it is not empty.
    pub(super) fn latency_figures(&self) -> Option<LatencyFigures> {
        (!self.is_empty()).then(|| LatencyFigures {
            min: self.min(),
            mean: self.mean(),
            stddev: self.stddev(),
            p50: self.percentile(50.0),
            p90: self.percentile(90.0),
            p99: self.percentile(99.0),
            p99_9: self.percentile(99.9),
            p99_99: self.percentile(99.99),
            max: self.max(),
        })
    }

    /// Returns its figures, if it is not empty.
    pub(super) fn lateness_figures(&self) -> Option<LatenessFigures> {
        let (p50, p99) = (self.percentile(50.0), self.percentile(99.0));
        (!self.is_empty()).then(|| LatenessFigures { p50, p99, max: self.max() })
    }

    pub(super) fn min(&self) -> u64 {
        self.0.min()
    }

    pub(crate) fn max(&self) -> u64 {
        self.0.max()
    }

    pub(super) fn mean(&self) -> f64 {
        self.0.mean()
    }

    pub(super) fn stddev(&self) -> f64 {
        self.0.stdev()
    }

    /// Returns buckets from the minimum to the maximum, each `growth` times as wide as the last.
    pub(super) fn buckets(&self, growth: f64) -> Vec<Bucket> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut buckets = Vec::new();
        let mut from = self.min();
        while from <= self.max() {
            let to = ((from as f64 * growth) as u64).max(from + 1);
            buckets.push(Bucket { from_us: from, to_us: to, calls: 0 });
            from = to;
        }
        for recorded in self.0.iter_recorded() {
            let micros = recorded.value_iterated_to().min(self.max());
            let index = buckets.partition_point(|bucket: &Bucket| bucket.to_us <= micros);
            buckets[index].calls += recorded.count_at_value();
        }
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_match_recorded_values() {
        let mut histogram = Histogram::default();
        (1..=10_000).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        for (percentile, expected) in [(50.0, 5_000.0), (99.0, 9_900.0), (99.9, 9_990.0)] {
            let found = histogram.percentile(percentile) as f64;
            assert!((found - expected).abs() <= expected / 1_000.0, "{percentile}: {found}");
        }
        assert_eq!(histogram.min(), 1);
        assert!((10_000..10_010).contains(&histogram.max()));
    }

    #[test]
    fn buckets_count_every_value_once() {
        let mut histogram = Histogram::default();
        for micros in [0, 1, 2, 3, 50, 51, 1_000, 1_001, 70_000_000] {
            histogram.record(Duration::from_micros(micros));
        }
        let buckets = histogram.buckets(1.5);
        assert_eq!(buckets.iter().map(|bucket| bucket.calls).sum::<u64>(), 9);
        assert!(buckets.windows(2).all(|pair| pair[0].to_us == pair[1].from_us));
    }
}
