//! The metrics of `--fail-if` rules and comparisons: their names, values and units.

use std::fmt;

use super::summary::Summary;
use crate::format::{HumanDuration, PerSecond};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Metric {
    Min,
    Mean,
    Max,
    Percentile(f64),
    ErrorRate,
    Errors,
    Rps,
}

impl Metric {
    pub(super) const P50: Metric = Metric::Percentile(50.0);
    pub(super) const P90: Metric = Metric::Percentile(90.0);
    pub(super) const P99: Metric = Metric::Percentile(99.0);
    pub(super) const P99_9: Metric = Metric::Percentile(99.9);
    pub(super) const P99_99: Metric = Metric::Percentile(99.99);

    /// The metrics that two runs are compared in. A single call determines the others, or the length
    /// of the run, and a relative bound of an error rate of 0 has no meaning.
    pub(super) const COMPARED: [Metric; 7] = [
        Metric::Rps,
        Metric::Mean,
        Metric::P50,
        Metric::P90,
        Metric::P99,
        Metric::P99_9,
        Metric::P99_99,
    ];

    /// Returns the number of calls that are slower than this percentile.
    pub(super) fn calls_above(self, calls: u64) -> u64 {
        let share = match self {
            Metric::Percentile(percentile) => (100.0 - percentile) / 100.0,
            _ => 0.5, // at least as certain as a median
        };
        (calls as f64 * share + 1e-6) as u64 // corrects the rounding of the float
    }

    pub(super) fn parse(name: &str) -> Option<Metric> {
        Some(match name {
            "min" => Metric::Min,
            "mean" => Metric::Mean,
            "max" => Metric::Max,
            "error-rate" => Metric::ErrorRate,
            "errors" => Metric::Errors,
            "rps" => Metric::Rps,
            _ => {
                let percentile = name.strip_prefix('p')?.parse().ok();
                Metric::Percentile(percentile.filter(|it| (0.0..=100.0).contains(it))?)
            }
        })
    }

    /// Parses a bound: microseconds, a share, or calls per second.
    pub(super) fn parse_bound(self, bound: &str) -> Option<f64> {
        match self {
            Metric::ErrorRate => {
                let (number, unit) = match bound.strip_suffix('%') {
                    Some(percent) => (percent, 100.0),
                    None => (bound, 1.0),
                };
                let share = number.trim().parse::<f64>().ok()? / unit;
                // Without `%`, 1 is a typing error: `error-rate>1` is never true.
                let is_share = if unit > 1.0 { share <= 1.0 } else { share < 1.0 };
                (is_share && share >= 0.0).then_some(share)
            }
            Metric::Errors | Metric::Rps => {
                bound.parse::<f64>().ok().filter(|bound| bound.is_finite() && *bound >= 0.0)
            }
            _ => Some(humantime::parse_duration(bound).ok()?.as_secs_f64() * 1e6),
        }
    }

    /// Returns the measured value, in the unit of a bound. A latency is `None` if no call ended OK.
    pub(super) fn value(self, summary: &Summary) -> Option<f64> {
        let latency = &summary.counts.latency;
        let micros = |micros: u64| (!latency.is_empty()).then_some(micros as f64);
        match self {
            Metric::Min => micros(latency.min()),
            Metric::Mean => (!latency.is_empty()).then(|| latency.mean()),
            Metric::Max => micros(latency.max()),
            Metric::Percentile(percentile) => micros(latency.percentile(percentile)),
            Metric::ErrorRate => Some(summary.error_rate()),
            Metric::Errors => Some((summary.counts.failed() + summary.not_started) as f64),
            Metric::Rps => Some(summary.rps()),
        }
    }

    /// Formats a value in its unit.
    pub(super) fn format(self, value: f64) -> String {
        match self {
            Metric::ErrorRate => format!("{}%", round(value * 100.0)),
            Metric::Errors => format!("{value:.0}"),
            Metric::Rps => PerSecond(value).to_string(),
            _ => HumanDuration::from_micros(value as u64).to_string(),
        }
    }

    /// Formats a value with all its digits.
    pub(super) fn format_exactly(self, value: f64) -> String {
        match self {
            Metric::ErrorRate => format!("{}%", value * 100.0),
            Metric::Errors => value.to_string(),
            Metric::Rps => format!("{value}/s"),
            _ => format!("{value}us"),
        }
    }
}

/// Rounds to four decimals.
fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Metric::Min => f.write_str("min"),
            Metric::Mean => f.write_str("mean"),
            Metric::Max => f.write_str("max"),
            Metric::Percentile(percentile) => write!(f, "p{percentile}"),
            Metric::ErrorRate => f.write_str("error-rate"),
            Metric::Errors => f.write_str("errors"),
            Metric::Rps => f.write_str("rps"),
        }
    }
}
