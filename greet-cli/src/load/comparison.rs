//! Compares a load test with its baseline, metric by metric.
//!
//! A difference counts if it exceeds the noise of both runs: if the ranges of their sections are apart.

use std::cmp::Ordering;
use std::fmt;

use greet_proto::escape::Escaped;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::baseline::Baseline;
use super::figures::{Figures, Range};
use super::metric::Metric;
use super::summary::Summary;

/// A load test beside its baseline.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    baseline: &'a Baseline,
    error_rate: f64,
    changes: Vec<Change>,
}

/// The change of a metric. The values are in microseconds, or calls per second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    metric: Metric,
    baseline: Measured,
    measured: Measured,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    value: f64,
    /// What it varies by; `None` if the calls are too few to say.
    range: Option<Range>,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(baseline: &'a Baseline, summary: &Summary) -> Comparison<'a> {
        let now = Figures::of(summary);
        let before = &baseline.report.figures;
        let changes = Metric::COMPARED.into_iter().filter_map(|m| Change::new(m, before, &now));
        Comparison { baseline, error_rate: now.error_rate, changes: changes.collect() }
    }

    pub(super) fn of(&self, metric: Metric) -> Option<&Change> {
        self.changes.iter().find(|change| change.metric == metric)
    }

    /// Returns the reason that greet-cli, not the server, may have limited the baseline.
    pub(crate) fn baseline_bottleneck(&self) -> Option<&str> {
        self.baseline.report.generator.bottleneck.as_deref()
    }

    /// Returns the key `baseline` of a report.
    pub(super) fn report(&self) -> Value {
        let Comparison { baseline, changes, .. } = self;
        json!({ "file": baseline.file, "changes": changes, "report": baseline.report })
    }
}

impl Change {
    /// Returns `None` for a latency of a run in which no call ended OK.
    fn new(metric: Metric, baseline: &Figures, now: &Figures) -> Option<Change> {
        let measured = |figures: &Figures| {
            Some(Measured { value: figures.value(metric)?, range: figures.range(metric) })
        };
        Some(Change { metric, baseline: measured(baseline)?, measured: measured(now)? })
    }

    pub(super) fn baseline(&self) -> f64 {
        self.baseline.value
    }

    /// Returns the change as a share of the baseline; `None` if that is 0.
    pub(super) fn share(&self) -> Option<f64> {
        let share = self.measured.value / self.baseline.value - 1.0;
        share.is_finite().then_some(share)
    }

    /// Returns the order of the measured value and the baseline, `Equal` if the difference is within
    /// the noise, and `None` if the calls are too few to say.
    pub(super) fn order(&self) -> Option<Ordering> {
        let (baseline, measured) = (self.baseline, self.measured);
        let (before, now) = (baseline.range?, measured.range?);
        Some(if measured.value > baseline.value && now.low > before.high {
            Ordering::Greater
        } else if measured.value < baseline.value && now.high < before.low {
            Ordering::Less
        } else {
            Ordering::Equal
        })
    }

    fn verdict(&self) -> Verdict {
        let is_more_better = self.metric == Metric::Rps;
        match self.order() {
            None => Verdict::TooFewCalls,
            Some(Ordering::Equal) => Verdict::WithinNoise,
            Some(order) if (order == Ordering::Greater) == is_more_better => Verdict::Better,
            Some(_) => Verdict::Worse,
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Change { metric, baseline, measured } = self;
        let change = json!({
            "metric": metric.to_string(),
            "unit": if *metric == Metric::Rps { "calls/s" } else { "us" },
            "baseline": baseline.value,
            "baseline_range": baseline.range,
            "measured": measured.value,
            "measured_range": measured.range,
            "change": self.share(),
            "verdict": self.verdict(),
        });
        change.serialize(serializer)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Better,
    Worse,
    WithinNoise,
    TooFewCalls,
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::WithinNoise => "within noise",
            Verdict::TooFewCalls => "too few calls",
        }
    }
}

/// A table that fits 80 columns.
impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison { baseline, error_rate, changes } = self;
        let [file, started] = [&baseline.file, &baseline.report.started].map(|it| Escaped(it));
        writeln!(f, "baseline {file}, started {started}\n")?;
        let heads = ["metric", "baseline (range)", "now (range)", "change", "verdict"];
        let mut rows = vec![heads.map(str::to_owned)];
        rows.extend(changes.iter().map(Change::row));
        let [before, now] = [baseline.report.figures.error_rate, *error_rate];
        let [before, now] = [before, now].map(|rate| Metric::ErrorRate.format(rate));
        rows.push(["errors".to_owned(), before, now, String::new(), String::new()]);
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3].map(width);
        for (index, [metric, baseline, now, change, verdict]) in rows.iter().enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            let line = format!(
                "{metric:<0$}  {baseline:<1$}  {now:<2$}  {change:>3$}  {verdict}",
                widths[0], widths[1], widths[2], widths[3]
            );
            write!(f, "{newline}{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl Change {
    fn row(&self) -> [String; 5] {
        // The name of the metric is the unit of a rate.
        let format = |value| self.metric.format(value).trim_end_matches("/s").to_owned();
        let measured = |Measured { value, range }: Measured| match range {
            Some(Range { low, high }) => {
                let (low, high) = (format(low), format(high));
                let length =
                    low.len() - if unit(&low) == unit(&high) { unit(&low).len() } else { 0 };
                let low = &low[..length];
                format!("{} ({low}-{high})", format(value))
            }
            None => format(value),
        };
        [
            self.metric.to_string(),
            measured(self.baseline),
            measured(self.measured),
            self.share().map(percent).unwrap_or_default(),
            self.verdict().text().to_owned(),
        ]
    }
}

/// Returns the unit of a formatted value.
fn unit(value: &str) -> &str {
    value.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.')
}

/// Formats a change, as in `+12.3%`.
pub(super) fn percent(share: f64) -> String {
    let decimals = if share < 10.0 { 1 } else { 0 };
    format!("{:+.decimals$}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::baseline::tests::baseline;
    use crate::load::figures::tests::summary;

    #[test]
    fn table_shows_value_range_change_and_verdict() {
        let before = baseline(&summary(&[(200, 100); 10]));
        let now = summary(&[(100, 1_500); 10]);
        let table = Comparison::new(&before, &now).to_string();
        let expected = "\
baseline old.json, started 2026-11-27T18:00:00Z

metric  baseline (range)   now (range)        change  verdict
rps     2000 (2000-2000)   1000 (1000-1000)   -50.0%  worse
mean    100us (100-100us)  1.5ms (1.5-1.5ms)  +1400%  worse
p50     100us (100-100us)  1.5ms (1.5-1.5ms)  +1400%  worse
p90     100us (100-100us)  1.5ms (1.5-1.5ms)  +1400%  worse
p99     100us (100-100us)  1.5ms (1.5-1.5ms)  +1400%  worse
p99.9   100us              1.5ms              +1400%  too few calls
p99.99  100us              1.5ms              +1400%  too few calls
errors  0%                 0%";
        assert_eq!(table, expected);
    }

    #[test]
    fn table_of_long_figures_fits_line() {
        let wide =
            Measured { value: 999_900.0, range: Some(Range { low: 999.0, high: 100_100.0 }) };
        let row = |metric, baseline, measured| Change { metric, baseline, measured };
        let mixed = row(Metric::P99_99, wide, wide);
        assert_eq!(mixed.row()[1], "999.9ms (999us-100.1ms)");
        let narrow = Measured { range: Some(Range { low: 100_100.0, high: 999_900.0 }), ..wide };
        assert_eq!(row(Metric::P50, narrow, narrow).row()[1], "999.9ms (100.1-999.9ms)");
        let none = Measured { range: None, ..wide };
        let (before, changes) = (
            baseline(&summary(&[])),
            vec![
                row(Metric::Rps, narrow, narrow),
                mixed,
                row(Metric::P50, Measured { value: 66_660.0, ..narrow }, narrow),
                row(Metric::P99_9, none, none),
            ],
        );
        let table = Comparison { baseline: &before, error_rate: 1.0, changes }.to_string();
        assert!(table.contains("\nrps     999900 (100100-999900)"), "{table}");
        assert!(table.contains("  +1400%  within noise\n"), "{table}");
        assert!(table.contains("  too few calls\n"), "{table}");
        let longest = table.lines().map(str::len).max();
        assert!(longest <= Some(80), "{longest:?}: {table}");
    }

    #[test]
    fn difference_within_ranges_is_noise() {
        let verdict = |before: [u64; 10], now: [u64; 10]| {
            let [before, now] = [before, now].map(|all| summary(&all.map(|us| (100, us))));
            Comparison::new(&baseline(&before), &now).of(Metric::P50).unwrap().verdict()
        };
        let varying = [100, 101, 102, 103, 104, 105, 106, 107, 108, 109];
        assert_eq!(verdict(varying, varying.map(|us| us + 7)), Verdict::WithinNoise);
        assert_eq!(verdict(varying, varying.map(|us| us + 8)), Verdict::Worse);
        assert_eq!(verdict(varying.map(|us| us + 8), varying), Verdict::Better);
        let mut stalled = [100; 10];
        stalled[4] = 100_000;
        assert_eq!(verdict(stalled, [101; 10]), Verdict::Worse, "one section is an extreme");
    }
}
