//! The figures in the report of a load test that another one can be compared with, and their spread.
//!
//! A run is divided into ten sections of equal length. The spread of the sections estimates the spread
//! between runs, so one run of each version is enough.

use serde::{Deserialize, Serialize};

use super::metric::Metric;
use super::recorder::{Histogram, LatencyFigures};
use super::summary::{Interval, Summary};
use crate::output::report::micros;

/// The identifier of the schema of a report.
pub(super) const SCHEMA: &str = "greet.load/v1";
/// Enough to leave out the extreme one at either end, and few enough for each to have many calls.
pub(super) const SECTIONS: usize = 10;
/// Minimum calls that are slower than a percentile. The latency of fewer is chance.
pub(super) const MIN_CALLS_ABOVE: u64 = 10;

/// The calls that ended within a section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Section {
    pub(super) length_us: u64,
    pub(super) ok: u64,
    /// Null if no call ended OK.
    pub(super) latency_us: Option<LatencyFigures>,
}

/// A point of the curve of percentiles.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PercentilePoint {
    pub(super) percentile: f64,
    pub(super) us: u64,
}

/// The calls that ended within an interval.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct IntervalReport {
    pub(super) at_us: u64,
    pub(super) length_us: u64,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) p50_us: Option<u64>,
    pub(super) p99_us: Option<u64>,
    pub(super) max_us: Option<u64>,
}

/// The figures of a report that are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) calls: Calls,
    pub(super) rps: f64,
    pub(super) error_rate: f64,
    /// Null if no call ended OK.
    pub(super) latency_us: Option<LatencyFigures>,
    /// Empty for a run of less than [`SECTIONS`] intervals.
    pub(super) sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Calls {
    pub(super) sent: u64,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) not_started: u64,
}

/// The lowest and the highest value of the sections, without one extreme at either end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl LatencyFigures {
    /// Returns `None` for a metric that is not one of [`Metric::COMPARED`].
    fn value(&self, metric: Metric) -> Option<f64> {
        let micros = match metric {
            Metric::Mean => return Some(self.mean),
            Metric::P50 => self.p50,
            Metric::P90 => self.p90,
            Metric::P99 => self.p99,
            Metric::P99_9 => self.p99_9,
            Metric::P99_99 => self.p99_99,
            _ => return None,
        };
        Some(micros as f64)
    }
}

impl Figures {
    pub(super) fn of(summary: &Summary) -> Figures {
        let (ok, failed) = (summary.counts.ok(), summary.counts.failed());
        Figures {
            calls: Calls {
                sent: ok + failed + summary.unfinished,
                ok,
                failed,
                not_started: summary.not_started,
            },
            rps: summary.rps(),
            error_rate: summary.error_rate(),
            latency_us: summary.counts.latency.latency_figures(),
            sections: sections(summary),
        }
    }

    pub(super) fn value(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Rps => Some(self.rps),
            Metric::ErrorRate => Some(self.error_rate),
            _ => self.latency_us.as_ref()?.value(metric),
        }
    }

    /// Returns the range of the sections; `None` without sections, or if fewer calls than
    /// [`MIN_CALLS_ABOVE`] are slower than the percentile.
    pub(super) fn range(&self, metric: Metric) -> Option<Range> {
        let values = self.sections.iter().map(|section| section.value(metric));
        let mut values = values.collect::<Option<Vec<_>>>()?;
        values.sort_by(f64::total_cmp);
        let is_enough = metric.calls_above(self.calls.ok) >= MIN_CALLS_ABOVE;
        match values.as_slice() {
            [_, low, .., high, _] if is_enough => Some(Range { low: *low, high: *high }),
            _ => None,
        }
    }
}

impl Section {
    /// `length` may exceed the intervals, because those after the last call are absent.
    fn of(intervals: &[Interval], length_us: u64) -> Section {
        let mut latency = Histogram::coarse();
        intervals.iter().for_each(|interval| latency.add(&interval.latency));
        Section { length_us, ok: latency.count(), latency_us: latency.latency_figures() }
    }

    fn value(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Rps => Some(self.ok as f64 / self.length_us.max(1) as f64 * 1e6),
            _ => self.latency_us.as_ref()?.value(metric),
        }
    }
}

/// Divides the complete intervals. The run ends within the last one, so that it may be incomplete.
pub(super) fn sections(summary: &Summary) -> Vec<Section> {
    let (interval_us, all) = (micros(summary.intervals.length), &summary.intervals.all);
    let complete = usize::try_from(micros(summary.measured) / interval_us).unwrap_or(usize::MAX);
    if complete < SECTIONS {
        return Vec::new();
    }
    let section = |index: usize| {
        let [start, end] = [index, index + 1].map(|index| index * complete / SECTIONS);
        let length_us = (end - start) as u64 * interval_us;
        Section::of(&all[start.min(all.len())..end.min(all.len())], length_us)
    };
    (0..SECTIONS).map(section).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::recorder::{Counts, REPORT_INTERVAL};

    /// Returns a run with one interval for each pair of a number of calls and their latency.
    pub(in crate::load) fn summary(intervals: &[(u64, u64)]) -> Summary {
        let mut summary = Summary::new(None);
        for (tick, (calls, latency_us)) in (1..).zip(intervals) {
            let mut counts = Counts::default();
            (0..*calls).for_each(|_| counts.latency.record(Duration::from_micros(*latency_us)));
            summary.add(REPORT_INTERVAL * tick, counts);
            summary.measured = REPORT_INTERVAL * tick;
        }
        summary
    }

    #[test]
    fn sections_divide_complete_intervals() {
        assert_eq!(sections(&summary(&[(1, 50); 9])), [], "fewer intervals than sections");
        let mut run = summary(&(1..=23).map(|at| (at, 50)).collect::<Vec<_>>());
        let all = sections(&run);
        assert_eq!(all.len(), SECTIONS);
        assert_eq!(all.iter().map(|section| section.length_us).sum::<u64>(), 2_300_000);
        let calls = |all: &[Section]| all.iter().map(|section| section.ok).sum::<u64>();
        assert_eq!(calls(&all), 276, "1 + 2 + … + 23");
        run.measured -= Duration::from_micros(1);
        assert_eq!(calls(&sections(&run)), 253, "without the last interval");
        run.measured += REPORT_INTERVAL * 20;
        let last = sections(&run).pop().unwrap();
        assert_eq!((last.ok, last.latency_us), (0, None), "no call ended");
    }

    #[test]
    fn range_is_that_of_sections_without_extremes() {
        let latencies = [50, 10, 51, 52, 99, 53, 54, 55, 56, 57];
        let run = summary(&latencies.map(|latency| (100, latency)));
        let figures = Figures::of(&run);
        assert_eq!(figures.range(Metric::P50), Some(Range { low: 50.0, high: 57.0 }));
        let rate = Some(Range { low: 1_000.0, high: 1_000.0 });
        assert_eq!(figures.range(Metric::Rps), rate);
        let mut calls = [(100, 50); SECTIONS];
        calls[3] = (0, 0);
        let figures = Figures::of(&summary(&calls));
        assert_eq!(figures.range(Metric::P50), None, "a section has no latency");
        assert_eq!(figures.range(Metric::Rps), rate, "the section without calls is an extreme");
    }

    #[test]
    fn range_needs_ten_calls_above_percentile() {
        let range = |last, metric| {
            let mut calls = [(100, 50); SECTIONS];
            calls[9].0 = last;
            Figures::of(&summary(&calls)).range(metric)
        };
        assert!(range(100, Metric::P99).is_some());
        assert!(range(99, Metric::P99).is_none());
        assert!(range(100, Metric::P99_9).is_none());
        assert!(range(9_100, Metric::P99_9).is_some());
    }
}
