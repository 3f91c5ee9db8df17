//! A histogram that one thread fills and any thread reads.

use super::counter::Counter;

/// Nanoseconds: the buckets that gRFC A66 gives for latencies. What is above the last is in one more.
pub(crate) const LATENCY_NANOS: [u64; 40] = [
    10_000,
    50_000,
    100_000,
    300_000,
    600_000,
    800_000,
    1_000_000,
    2_000_000,
    3_000_000,
    4_000_000,
    5_000_000,
    6_000_000,
    8_000_000,
    10_000_000,
    13_000_000,
    16_000_000,
    20_000_000,
    25_000_000,
    30_000_000,
    40_000_000,
    50_000_000,
    65_000_000,
    80_000_000,
    100_000_000,
    130_000_000,
    160_000_000,
    200_000_000,
    250_000_000,
    300_000_000,
    400_000_000,
    500_000_000,
    650_000_000,
    800_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    20_000_000_000,
    50_000_000_000,
    100_000_000_000,
];

/// Bytes: the buckets that gRFC A66 gives for messages, up to the largest that a limit allows.
pub(crate) const MESSAGE_BYTES: [u64; 11] =
    [0, 1_024, 2_048, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864];

/// Counts by bucket; each holds what is at most its bound and above the one before.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    buckets: Box<[Counter]>,
    sum: Counter,
}

/// Several histograms of the same bounds, added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Distribution {
    pub(crate) bounds: &'static [u64],
    /// One more than there are bounds.
    pub(crate) buckets: Vec<u64>,
    pub(crate) sum: u64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [u64]) -> Histogram {
        let buckets = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Histogram { bounds, buckets, sum: Counter::default() }
    }

    pub(crate) fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].add(1);
        self.sum.add(value);
    }
}

impl Distribution {
    pub(crate) fn new(bounds: &'static [u64]) -> Distribution {
        Distribution { bounds, buckets: vec![0; bounds.len() + 1], sum: 0 }
    }

    pub(crate) fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.get();
        }
        self.sum += histogram.sum.get();
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket_and_what_is_above_the_last_to_one_more() {
        let histogram = Histogram::new(&[0, 10, 20]);
        [0, 1, 10, 11, 20, 21, 1_000].into_iter().for_each(|value| histogram.observe(value));
        let mut sum = Distribution::new(&[0, 10, 20]);
        sum.add(&histogram);
        sum.add(&histogram);
        assert_eq!(sum.buckets, [2, 4, 4, 4]);
        assert_eq!((sum.count(), sum.sum), (14, 2 * 1_063));
    }
}
