//! Latencies in microseconds, to three digits, however many there are.

use std::time::Duration;

use hdrhistogram::Histogram as Hdr;

/// Two values that differ in the third digit are told apart.
const DIGITS: u8 = 3;
/// Fine enough for a plot, and there are many of those.
const COARSE_DIGITS: u8 = 2;

/// How often which latency came.
#[derive(Debug, Clone)]
pub(super) struct Histogram(Hdr<u64>);

impl Histogram {
    pub(super) fn new() -> Histogram {
        Histogram::of(DIGITS)
    }

    /// A smaller one, whose values are within a hundredth.
    pub(super) fn coarse() -> Histogram {
        Histogram::of(COARSE_DIGITS)
    }

    fn of(digits: u8) -> Histogram {
        Histogram(Hdr::new(digits).expect("the number of digits is one that there is"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        // It grows to whatever is recorded; the last resort is its own largest.
        if self.0.record(micros).is_err() {
            self.0.saturating_record(micros);
        }
    }

    pub(super) fn add(&mut self, other: &Histogram) {
        self.0.add(&other.0).expect("both grow to whatever is recorded");
    }

    /// How many there are.
    pub(super) fn calls(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In microseconds.
    pub(super) fn percentile(&self, percentile: f64) -> u64 {
        self.0.value_at_percentile(percentile).min(self.0.max())
    }

    pub(super) fn min(&self) -> u64 {
        self.0.min()
    }

    pub(super) fn max(&self) -> u64 {
        self.0.max()
    }

    pub(super) fn mean(&self) -> f64 {
        self.0.mean()
    }

    pub(super) fn stddev(&self) -> f64 {
        self.0.stdev()
    }

    /// Buckets from the least to the largest latency, each reaching `growth` times as far as the one
    /// before: from, to (microseconds), and how many are in between.
    pub(super) fn buckets(&self, growth: f64) -> Vec<(u64, u64, u64)> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut buckets = Vec::new();
        let mut from = self.min();
        while from <= self.max() {
            let to = ((from as f64 * growth) as u64).max(from + 1);
            buckets.push((from, to, 0));
            from = to;
        }
        for recorded in self.0.iter_recorded() {
            let micros = recorded.value_iterated_to().min(self.max());
            let index = buckets.partition_point(|(_, to, _)| *to <= micros);
            buckets[index].2 += recorded.count_at_value();
        }
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_found_again() {
        let mut histogram = Histogram::new();
        (1..=10_000).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        for (percentile, expected) in [(50.0, 5_000.0), (99.0, 9_900.0), (99.9, 9_990.0)] {
            let found = histogram.percentile(percentile) as f64;
            assert!((found - expected).abs() <= expected / 1_000.0, "{percentile}: {found}");
        }
        assert_eq!(histogram.min(), 1);
        assert!((10_000..10_010).contains(&histogram.max()));
    }

    #[test]
    fn buckets_hold_each_of_them_once() {
        let mut histogram = Histogram::new();
        for micros in [0, 1, 2, 3, 50, 51, 1_000, 1_001, 70_000_000] {
            histogram.record(Duration::from_micros(micros));
        }
        let buckets = histogram.buckets(1.5);
        assert_eq!(buckets.iter().map(|(_, _, calls)| calls).sum::<u64>(), 9);
        assert!(buckets.windows(2).all(|pair| pair[0].1 == pair[1].0));
    }
}
