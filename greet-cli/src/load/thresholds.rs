//! Parses and evaluates `--fail-if`: a metric, a comparison and a bound, as in `p99>20ms`, or a bound
//! relative to the baseline, as in `p99>+10%`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::comparison::{Change, Comparison, percent};
use super::figures::{MIN_CALLS_ABOVE, SECTIONS};
use super::metric::Metric;
use super::recorder::REPORT_INTERVAL;
use super::summary::Summary;
use crate::format::HumanDuration;

/// A condition that fails a load test.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Threshold {
    metric: Metric,
    /// The order of measured value and bound that violates it.
    violation: Ordering,
    /// Whether it is also violated by a value that equals the bound.
    is_inclusive: bool,
    bound: Bound,
    /// The text of the command line.
    rule: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// Microseconds, a share, or calls per second.
    Absolute(f64),
    /// The change from the baseline, as a share of it.
    Relative(f64),
}

const FORMS: &str = "a rule such as p99>20ms, max>1s, error-rate>0.1% (or 0.001), errors>0 or rps<5000; \
     metrics are min, mean, max, p50, p99.9, …, error-rate, errors and rps; with --baseline also \
     p99>+10% or rps<-5% (> with +, < with -), for mean, p50, p90, p99, p99.9, p99.99 and rps";

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
        let (is_inclusive, bound) = (bound.is_some(), bound.unwrap_or(&rest[1..]).trim());
        let metric = Metric::parse(metric.trim())?;
        let bound = if bound.starts_with(['+', '-']) {
            Bound::Relative(parse_change(metric, violation, bound)?)
        } else {
            Bound::Absolute(metric.parse_bound(bound)?)
        };
        let rule = Threshold { metric, violation, is_inclusive, bound, rule: rule.to_owned() };
        rule.can_be_true().then_some(rule)
    }

    /// Returns whether a possible value is beyond the bound: none is below 0, or a share above 1.
    fn can_be_true(&self) -> bool {
        let extreme = match (self.violation, self.metric) {
            (Ordering::Less, _) => 0.0,
            (_, Metric::ErrorRate) => 1.0,
            _ => f64::INFINITY,
        };
        match self.bound {
            Bound::Absolute(bound) => self.is_beyond(extreme, bound),
            Bound::Relative(_) => true,
        }
    }

    /// Returns whether the rule needs a baseline.
    pub(crate) fn is_relative(&self) -> bool {
        matches!(self.bound, Bound::Relative(_))
    }

    /// Formats the measured value in its unit, with all digits if it would look like the bound.
    pub(super) fn measured(&self, summary: &Summary) -> String {
        let Some(measured) = self.metric.value(summary) else {
            return "unknown, no call ended OK".to_owned();
        };
        let text = self.metric.format(measured);
        match self.bound {
            Bound::Absolute(bound) if text == self.metric.format(bound) && measured != bound => {
                self.metric.format_exactly(measured)
            }
            _ => text,
        }
    }

    /// Returns whether a lower value is better for the rule.
    pub(crate) fn has_upper_bound(&self) -> bool {
        self.violation == Ordering::Less
    }

    /// Returns the verdict on a range of rates of which none was sustained. Its figures are those of a
    /// server that does not keep up, which say nothing about the rule.
    pub(super) fn not_sustained(&self) -> Judgement {
        Judgement {
            rule: self.rule.clone(),
            measured: "no rate was sustained".to_owned(),
            is_violated: true,
            baseline: None,
            change: None,
            verdict: Verdict::Violated,
        }
    }

    /// Returns whether a rule without a relative bound is violated.
    pub(super) fn is_violated(&self, summary: &Summary) -> bool {
        self.judge(summary, None).is_violated
    }

    /// Evaluates the rule. A relative one needs a comparison.
    pub(crate) fn judge(
        &self,
        summary: &Summary,
        comparison: Option<&Comparison<'_>>,
    ) -> Judgement {
        let measured = self.metric.value(summary);
        let change = comparison.filter(|_| self.is_relative()).and_then(|it| it.of(self.metric));
        let verdict = match (self.bound, measured, change) {
            (_, None, _) => Verdict::Violated,
            (Bound::Absolute(bound), Some(measured), _) => {
                Verdict::violated_if(self.is_beyond(measured, bound))
            }
            (Bound::Relative(_), _, None) => Verdict::TooFewCalls,
            (Bound::Relative(share), Some(measured), Some(change)) => {
                let is_beyond =
                    self.is_beyond(measured, change.baseline() + change.baseline() * share);
                match change.order() {
                    None => Verdict::TooFewCalls,
                    Some(order) if is_beyond && order != self.violation => Verdict::WithinNoise,
                    Some(_) => Verdict::violated_if(is_beyond),
                }
            }
        };
        Judgement {
            rule: self.rule.clone(),
            measured: self.measured(summary),
            is_violated: verdict == Verdict::Violated,
            baseline: change.map(|change| self.metric.format(change.baseline())),
            change: change.and_then(Change::share),
            verdict,
        }
    }

    fn is_beyond(&self, measured: f64, bound: f64) -> bool {
        let order = measured.partial_cmp(&bound);
        order == Some(self.violation) || (self.is_inclusive && order.is_some_and(Ordering::is_eq))
    }
}

/// Parses `+10%` or `-5%` into a share. With the other sign a rule is true of an equal run.
fn parse_change(metric: Metric, violation: Ordering, change: &str) -> Option<f64> {
    let share = change.strip_suffix('%')?.trim_end().parse::<f64>().ok()? / 100.0;
    let is_valid = match violation {
        Ordering::Less => share > -1.0 && share <= 0.0, // nothing is less than -100 %
        _ => share.is_finite() && share >= 0.0,
    };
    (is_valid && Metric::COMPARED.contains(&metric)).then_some(share)
}

/// The result of a rule.
#[derive(Debug, Serialize)]
pub(crate) struct Judgement {
    rule: String,
    /// The measured value in its unit.
    measured: String,
    #[serde(rename = "crossed")]
    is_violated: bool,
    /// The value of the baseline in its unit; null for an absolute rule.
    baseline: Option<String>,
    /// From the baseline to the measured value, as a share of the former.
    change: Option<f64>,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    NotViolated,
    /// Also of a latency if no call ended OK.
    Violated,
    /// Beyond the bound, but by no more than the runs vary by.
    WithinNoise,
    /// The calls are too few to say.
    TooFewCalls,
}

impl Verdict {
    fn violated_if(is_beyond: bool) -> Verdict {
        if is_beyond { Verdict::Violated } else { Verdict::NotViolated }
    }
}

impl Judgement {
    /// Returns whether the rule fails the load test.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self.verdict, Verdict::Violated | Verdict::TooFewCalls)
    }
}

/// `threshold 'p99>+10%' ok: 12ms; baseline 10ms, +20.0%, within noise`
impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Judgement { rule, measured, .. } = self;
        let (result, note) = match self.verdict {
            Verdict::NotViolated => ("ok", ""),
            Verdict::WithinNoise => ("ok", ", within noise"),
            Verdict::Violated => ("violated", ""),
            Verdict::TooFewCalls => {
                let length = HumanDuration(REPORT_INTERVAL * SECTIONS as u32);
                return write!(
                    f,
                    "threshold '{rule}' has no verdict: too few calls; each run needs {length}, a \
                     call in each tenth of it, and {MIN_CALLS_ABOVE} calls above the percentile"
                );
            }
        };
        let baseline = self.baseline.as_ref().map(|it| format!("; baseline {it}"));
        let change = self.change.map(|share| format!(", {}", percent(share)));
        let [baseline, change] = [baseline, change].map(Option::unwrap_or_default);
        write!(f, "threshold '{rule}' {result}: {measured}{baseline}{change}{note}")
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
    use crate::load::baseline::tests::baseline;
    use crate::load::figures::tests::summary;

    #[test]
    fn threshold_is_parsed_into_metric_comparison_and_bound() {
        let parsed = |rule: &str| {
            let rule: Threshold = rule.parse().unwrap();
            let Bound::Absolute(bound) = rule.bound else { panic!("{rule:?}") };
            (rule.metric, rule.violation, rule.is_inclusive, bound)
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
        for extreme in ["error-rate>=100%", "error-rate<100%", "errors<=0", "p99>0us"] {
            assert!(extreme.parse::<Threshold>().is_ok(), "{extreme}");
        }
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
            "error-rate>100%",
            "error-rate<0%",
            "rps<0",
            "p99<0ms",
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

    #[test]
    fn relative_bound_has_a_sign_and_a_comparable_metric() {
        let share = |rule: &str| {
            let rule: Threshold = rule.parse().unwrap();
            let Bound::Relative(share) = rule.bound else { panic!("{rule:?}") };
            share
        };
        assert_eq!(share("p99>+10%"), 0.1);
        assert_eq!(share("rps < -5 %"), -0.05);
        assert_eq!(share("mean>=+0%"), 0.0);
        assert_eq!(share("p99.99>+1000%"), 10.0);
        let bad = [
            "p99>10%",
            "p99>+10",
            "p99>+10ms",
            "p99>+%",
            "p99>+inf%",
            "p99>+-1%",
            "rps<-100%",
            "rps<+50%",
            "p50>-99%",
            "p95>+10%",
            "max>+10%",
            "min>+10%",
            "errors>+10%",
            "error-rate>+10%",
        ];
        for bad in bad {
            assert!(bad.parse::<Threshold>().is_err(), "{bad}");
        }
    }

    #[test]
    fn verdict_shows_value_and_how_it_differs_from_bound() {
        let verdict = |rule: &str, intervals: &[(u64, u64)]| {
            let rule: Threshold = rule.parse().unwrap();
            rule.judge(&summary(intervals), None).to_string()
        };
        let slow = [(1, 20_031)];
        assert_eq!(verdict("p99>20ms", &slow), "threshold 'p99>20ms' violated: 20031us");
        assert_eq!(verdict("p99>=21ms", &slow), "threshold 'p99>=21ms' ok: 20ms");
        assert_eq!(verdict("p99>20031us", &slow), "threshold 'p99>20031us' ok: 20ms");
        // Ten intervals are a second.
        assert_eq!(verdict("rps<2.5", &[(1, 1); 10]), "threshold 'rps<2.5' ok: 10/s");
        let two = [&[(1, 1); 2][..], &[(0, 1); 28]].concat();
        assert_eq!(verdict("rps<0.8", &two), "threshold 'rps<0.8' violated: 0.667/s");
        assert_eq!(
            verdict("rps<0.667", &two),
            "threshold 'rps<0.667' violated: 0.6666666666666666/s"
        );
    }

    #[test]
    fn relative_rule_is_violated_beyond_bound_and_noise() {
        let verdict = |rule: &str, before: &Summary, now: &Summary| {
            let baseline = baseline(before);
            let comparison = Comparison::new(&baseline, now);
            let judgement = rule.parse::<Threshold>().unwrap().judge(now, Some(&comparison));
            assert_eq!(judgement.is_violated, judgement.verdict == Verdict::Violated);
            judgement.verdict
        };
        let run = |latency_us| summary(&[(100, latency_us); 10]);
        assert_eq!(verdict("p99>+10%", &run(100), &run(110)), Verdict::NotViolated);
        assert_eq!(verdict("p99>=+10%", &run(100), &run(110)), Verdict::Violated);
        assert_eq!(verdict("p99>+10%", &run(100), &run(111)), Verdict::Violated);
        assert_eq!(verdict("p99<-10%", &run(100), &run(89)), Verdict::Violated);
        assert_eq!(verdict("p99>+10%", &run(100), &run(50)), Verdict::NotViolated);

        let varying = summary(&[50, 60, 70, 80, 90, 100, 110, 120, 130, 140].map(|us| (100, us)));
        assert_eq!(verdict("p50>+10%", &varying, &run(120)), Verdict::WithinNoise);
        assert_eq!(verdict("p50>+10%", &varying, &run(131)), Verdict::Violated);
        assert_eq!(verdict("p50>+50%", &varying, &run(131)), Verdict::NotViolated);

        let [fast, slow] = [100, 94].map(|calls| summary(&[(calls, 100); 10]));
        assert_eq!(verdict("rps<-5%", &fast, &slow), Verdict::Violated);
        assert_eq!(verdict("rps<-7%", &fast, &slow), Verdict::NotViolated);
        assert_eq!(verdict("p99>+10%", &fast, &slow), Verdict::TooFewCalls);
        assert_eq!(verdict("p99>+10%", &slow, &fast), Verdict::TooFewCalls);
        let none = Summary::new(None);
        assert_eq!(verdict("p99>+10%", &fast, &none), Verdict::Violated, "no call ended OK");
    }
}
