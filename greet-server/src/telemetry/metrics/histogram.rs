//! A histogram with one writer.

use super::counter::Counter;

/// Upper bounds of the latency buckets in gRFC A66, in nanoseconds; a last bucket has none.
#[rustfmt::skip]
pub(crate) const LATENCY_NANOS: [u64; 40] = [
    10_000, 50_000, 100_000, 300_000, 600_000, 800_000, 1_000_000, 2_000_000, 3_000_000, 4_000_000,
    5_000_000, 6_000_000, 8_000_000, 10_000_000, 13_000_000, 16_000_000, 20_000_000, 25_000_000,
    30_000_000, 40_000_000, 50_000_000, 65_000_000, 80_000_000, 100_000_000, 130_000_000,
    160_000_000, 200_000_000, 250_000_000, 300_000_000, 400_000_000, 500_000_000, 650_000_000,
    800_000_000, 1_000_000_000, 2_000_000_000, 5_000_000_000, 10_000_000_000, 20_000_000_000,
    50_000_000_000, 100_000_000_000,
];

/// Upper bounds of the size buckets in gRFC A66, in bytes, up to the largest message limit.
pub(crate) const MESSAGE_BYTES: [u64; 11] =
    [0, 1_024, 2_048, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864];

/// Counts by bucket. A bucket includes its upper bound.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    buckets: Box<[Counter]>,
    sum: Counter,
}

/// The sum of histograms with the same bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Distribution {
    pub(crate) bounds: &'static [u64],
    /// Counts by bucket, one more than there are bounds.
    pub(crate) buckets: Vec<u64>,
    pub(crate) sum: u64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [u64]) -> Histogram {
        let buckets = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Histogram { bounds, buckets, sum: Counter::default() }
    }

    pub(crate) fn observe(&self, value: u64) {
        self.buckets[self.bucket(value)].add(1);
        self.sum.add(value);
    }

    pub(super) fn bucket(&self, value: u64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
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
    fn bucket_includes_its_upper_bound_and_the_last_has_none() {
        let histogram = Histogram::new(&[0, 10, 20]);
        [0, 1, 10, 11, 20, 21, 1_000].into_iter().for_each(|value| histogram.observe(value));
        let mut sum = Distribution::new(&[0, 10, 20]);
        sum.add(&histogram);
        sum.add(&histogram);
        assert_eq!(sum.buckets, [2, 4, 4, 4]);
        assert_eq!((sum.count(), sum.sum), (14, 2 * 1_063));
    }
}
