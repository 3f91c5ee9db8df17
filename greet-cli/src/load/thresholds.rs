//! Parses and evaluates `--fail-if`: a metric, a comparison and a bound, as in `p99>20ms`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::capacity::Capacity;
use super::summary::Summary;
use crate::error::CallError;
use crate::exit::Exit;
use crate::format::HumanDuration;

/// A condition that fails a load test.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Threshold {
    metric: Metric,
    /// The order of measured value and bound that violates it.
    violation: Ordering,
    /// Whether it is also violated by a value that equals the bound.
    is_inclusive: bool,
    /// Microseconds, a share, or calls per second.
    bound: f64,
    /// The text of the command line.
    rule: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    Min,
    Mean,
    Max,
    Percentile(f64),
    ErrorRate,
    Errors,
    Rps,
}

const FORMS: &str = "a rule such as p99>20ms, max>1s, error-rate>0.1% (or 0.001), errors>0 or rps<5000; \
     metrics are min, mean, max, p50, p99.9, …, error-rate, errors and rps";

impl FromStr for Threshold {
    type Err = String;

    fn from_str(rule: &str) -> Result<Threshold, String> {
        Threshold::parse(rule.trim()).ok_or_else(|| format!("{rule:?} is not {FORMS}"))
    }
}

impl Threshold {
    fn parse(rule: &str) -> Option<Threshold> {
        let (metric, rest) = rule.split_at(rule.find(['<', '>'])?);
        let violation = if rest.starts_with('>') { Ordering::Greater } else { Ordering::Less };
        let bound = rest[1..].strip_prefix('=');
        let (is_inclusive, bound) = (bound.is_some(), bound.unwrap_or(&rest[1..]));
        let metric = Metric::parse(metric.trim())?;
        let bound = metric.parse_bound(bound.trim())?;
        Some(Threshold { metric, violation, is_inclusive, bound, rule: rule.to_owned() })
    }

    /// Returns whether it was violated. Without a call that ended OK, every latency threshold is.
    pub(crate) fn is_violated(&self, summary: &Summary) -> bool {
        let Some(value) = self.metric.value(summary) else {
            return true;
        };
        let order = value.partial_cmp(&self.bound);
        order == Some(self.violation) || (self.is_inclusive && order.is_some_and(Ordering::is_eq))
    }

    /// Formats the measured value in its unit.
    pub(crate) fn measured(&self, summary: &Summary) -> String {
        let Some(value) = self.metric.value(summary) else {
            return "unknown, no call ended OK".to_owned();
        };
        match self.metric {
            Metric::ErrorRate => format!("{}%", round(value * 100.0)),
            Metric::Errors => format!("{value:.0}"),
            Metric::Rps => format!("{value:.0}/s"),
            _ => HumanDuration(Duration::from_micros(value as u64)).to_string(),
        }
    }
}

/// Returns the exit code of a load test.
pub(crate) fn exit(summary: &Summary, thresholds: &[Threshold]) -> Exit {
    if let Some(signal) = summary.interrupted {
        return signal;
    }
    let has_found = summary.capacity.as_ref().is_none_or(Capacity::has_found);
    if !has_found || thresholds.iter().any(|threshold| threshold.is_violated(summary)) {
        return Exit::ThresholdViolated;
    }
    // Only --fail-if judges single failures, but without a success nothing was measured.
    if summary.counts.ok() > 0 {
        return Exit::Done;
    }
    summary.counts.first_failure.as_ref().map_or(Exit::Usage, CallError::exit)
}

/// Rounds to four decimals.
fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

impl Metric {
    fn parse(name: &str) -> Option<Metric> {
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

    fn parse_bound(self, bound: &str) -> Option<f64> {
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

    fn value(self, summary: &Summary) -> Option<f64> {
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
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threshold_is_parsed_into_metric_comparison_and_bound() {
        let parsed = |rule: &str| {
            let rule: Threshold = rule.parse().unwrap();
            (rule.metric, rule.violation, rule.is_inclusive, rule.bound)
        };
        assert_eq!(
            parsed("p99>20ms"),
            (Metric::Percentile(99.0), Ordering::Greater, false, 20_000.0)
        );
        assert_eq!(
            parsed("p99.99 >= 1us"),
            (Metric::Percentile(99.99), Ordering::Greater, true, 1.0)
        );
        assert_eq!(parsed("rps<5000"), (Metric::Rps, Ordering::Less, false, 5_000.0));
        assert_eq!(parsed("error-rate>0.1%"), (Metric::ErrorRate, Ordering::Greater, false, 0.001));
        assert_eq!(parsed("error-rate>0.5"), (Metric::ErrorRate, Ordering::Greater, false, 0.5));
        assert_eq!(parsed("errors>0"), (Metric::Errors, Ordering::Greater, false, 0.0));
        let bad = [
            "",
            "p99",
            "p99=1ms",
            "p101>1ms",
            "q99>1ms",
            "p99>",
            "p99>5",
            "rps<5ms",
            "error-rate>101%",
            "error-rate>1",
            "errors>-1",
            ">1ms",
            "p99>>1ms",
            "rps<inf",
        ];
        for bad in bad {
            assert!(bad.parse::<Threshold>().is_err(), "{bad}");
        }
    }
}
