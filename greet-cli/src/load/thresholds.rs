//! `--fail-if`: a figure, a comparison, a bound, such as `p99>20ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::summary::Summary;
use crate::exit::Exit;
use crate::format::HumanDuration;

/// What may not hold at the end of a load test.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Threshold {
    figure: Figure,
    is_above: bool,
    or_equal: bool,
    /// Microseconds, a share, or calls a second.
    bound: f64,
    /// As it was typed.
    rule: String,
}

/// A figure of a load test.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Figure {
    Min,
    Mean,
    Max,
    Percentile(f64),
    ErrorRate,
    Errors,
    Rps,
}

const EXPECTED: &str = "expected FIGURE>BOUND or FIGURE<BOUND, such as p99>20ms, max>1s, \
     error-rate>0.1% (or 0.001), errors>0 or rps<5000; FIGURE is min, mean, max, p50, p99.9, …, error-rate, \
     errors or rps";

impl FromStr for Threshold {
    type Err = &'static str;

    fn from_str(rule: &str) -> Result<Threshold, &'static str> {
        let at = rule.find(['<', '>']).ok_or(EXPECTED)?;
        let (figure, rest) = rule.split_at(at);
        let is_above = rest.starts_with('>');
        let (or_equal, bound) = match rest[1..].strip_prefix('=') {
            Some(bound) => (true, bound),
            None => (false, &rest[1..]),
        };
        let figure = Figure::parse(figure.trim()).ok_or(EXPECTED)?;
        let bound = figure.bound(bound.trim()).ok_or(EXPECTED)?;
        Ok(Threshold { figure, is_above, or_equal, bound, rule: rule.trim().to_owned() })
    }
}

impl Threshold {
    pub(super) fn rule(&self) -> &str {
        &self.rule
    }

    /// Whether it holds, which it may not. A latency that nobody has, because no call ended well, is as
    /// bad as can be.
    pub(crate) fn is_crossed(&self, summary: &Summary) -> bool {
        let Some(value) = self.figure.of(summary) else {
            return true;
        };
        match (self.is_above, self.or_equal) {
            (true, false) => value > self.bound,
            (true, true) => value >= self.bound,
            (false, false) => value < self.bound,
            (false, true) => value <= self.bound,
        }
    }

    /// What the figure was, in its own unit.
    pub(crate) fn measured(&self, summary: &Summary) -> String {
        let Some(value) = self.figure.of(summary) else {
            return "unknown, no call ended well".to_owned();
        };
        match self.figure {
            Figure::ErrorRate => format!("{}%", round(value * 100.0)),
            Figure::Errors => format!("{value:.0}"),
            Figure::Rps => format!("{value:.0}/s"),
            _ => HumanDuration(Duration::from_micros(value as u64)).to_string(),
        }
    }
}

/// Returns how a load test ends for a script.
pub(crate) fn exit(summary: &Summary, thresholds: &[Threshold]) -> Exit {
    let has_ok = summary.counts.ok() > 0;
    match (summary.interrupted, &summary.counts.first_failure) {
        (Some(by), _) => by,
        // Single failures are for --fail-if to judge; but nothing was measured if every call failed.
        _ if thresholds.iter().any(|threshold| threshold.is_crossed(summary)) => {
            Exit::ThresholdViolated
        }
        (None, Some(failure)) if !has_ok => failure.exit(),
        (None, None) if !has_ok => Exit::Usage,
        (None, _) => Exit::Done,
    }
}

/// To four decimals, and without zeros that say nothing.
fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

impl Figure {
    fn parse(name: &str) -> Option<Figure> {
        match name {
            "min" => Some(Figure::Min),
            "mean" => Some(Figure::Mean),
            "max" => Some(Figure::Max),
            "error-rate" => Some(Figure::ErrorRate),
            "errors" => Some(Figure::Errors),
            "rps" => Some(Figure::Rps),
            _ => {
                let digits = name.strip_prefix('p')?;
                let percentile = digits.parse::<f64>().ok()?;
                (0.0..=100.0).contains(&percentile).then_some(Figure::Percentile(percentile))
            }
        }
    }

    fn bound(self, bound: &str) -> Option<f64> {
        match self {
            Figure::ErrorRate => {
                let (number, unit) = match bound.strip_suffix('%') {
                    Some(percent) => (percent, 100.0),
                    None => (bound, 1.0),
                };
                let share = number.trim().parse::<f64>().ok()? / unit;
                // As much as there can be is a percentage, or meant to be one: `error-rate>1` would never hold.
                let is_share = if unit > 1.0 { share <= 1.0 } else { share < 1.0 };
                (is_share && share >= 0.0).then_some(share)
            }
            Figure::Errors | Figure::Rps => {
                bound.parse::<f64>().ok().filter(|bound| bound.is_finite() && *bound >= 0.0)
            }
            _ => Some(humantime::parse_duration(bound).ok()?.as_secs_f64() * 1e6),
        }
    }

    fn of(self, summary: &Summary) -> Option<f64> {
        let latency = &summary.counts.latency;
        let micros = |micros: u64| (!latency.is_empty()).then_some(micros as f64);
        match self {
            Figure::Min => micros(latency.min()),
            Figure::Mean => (!latency.is_empty()).then(|| latency.mean()),
            Figure::Max => micros(latency.max()),
            Figure::Percentile(percentile) => micros(latency.percentile(percentile)),
            Figure::ErrorRate => Some(summary.error_rate()),
            Figure::Errors => Some((summary.counts.failed() + summary.not_started) as f64),
            Figure::Rps => Some(summary.rps()),
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
    fn threshold_is_parsed_into_figure_comparison_and_bound() {
        let parsed = |rule: &str| {
            let rule: Threshold = rule.parse().unwrap();
            (rule.figure, rule.is_above, rule.or_equal, rule.bound)
        };
        assert_eq!(parsed("p99>20ms"), (Figure::Percentile(99.0), true, false, 20_000.0));
        assert_eq!(parsed("p99.99 >= 1us"), (Figure::Percentile(99.99), true, true, 1.0));
        assert_eq!(parsed("rps<5000"), (Figure::Rps, false, false, 5_000.0));
        assert_eq!(parsed("error-rate>0.1%"), (Figure::ErrorRate, true, false, 0.001));
        assert_eq!(parsed("error-rate>0.5"), (Figure::ErrorRate, true, false, 0.5));
        assert_eq!(parsed("errors>0"), (Figure::Errors, true, false, 0.0));
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
