//! `greet.load/v1`: a load test as an object. Field names are an interface; units are in them.

use std::collections::BTreeMap;

use greet_proto::status::code_name;
use serde::Serialize;

use super::plan::Plan;
use super::recorder::{Bucket, Histogram};
use super::summary::{Interval, Summary};
use super::thresholds::{Threshold, exit};
use crate::exit::Exit;
use crate::output::report::{ErrorReport, micros};

/// From one bucket of the histogram to the next.
const BUCKET_GROWTH: f64 = 1.1;

/// `greet.load/v1`
#[derive(Debug, Serialize)]
pub(crate) struct LoadReport {
    schema: &'static str,
    /// Whether the exit code is 0: a call ended with OK, no threshold was crossed, nobody interrupted it.
    pub(super) ok: bool,
    targets: Vec<String>,
    /// When the measurement began (RFC 3339).
    started: String,
    version: &'static str,
    #[serde(rename = "loop")]
    kind: &'static str,
    rate_per_s: Option<f64>,
    concurrency: u32,
    connections: u32,
    threads: u32,
    warm_up_us: u64,
    measured_us: u64,
    interrupted: bool,
    calls: CallCounts,
    /// CallCounts that ended with OK, a second.
    rps: f64,
    error_rate: f64,
    /// Of HTTP/2.
    bytes: ByteCounts,
    /// Of the calls that ended with OK; null if there was none.
    latency_us: Option<Latency>,
    histogram: Vec<Bucket>,
    percentiles: Vec<PercentilePoint>,
    intervals: Vec<IntervalReport>,
    generator: Generator,
    thresholds: Vec<ThresholdReport>,
    /// What went wrong first.
    error: Option<ErrorReport>,
}

#[derive(Debug, Serialize)]
struct CallCounts {
    sent: u64,
    ok: u64,
    failed: u64,
    not_started: u64,
    by_status: BTreeMap<&'static str, u64>,
    by_failed_stage: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct ByteCounts {
    sent: u64,
    received: u64,
}

#[derive(Debug, Serialize)]
struct Latency {
    min: u64,
    mean: f64,
    stddev: f64,
    p50: u64,
    p90: u64,
    p99: u64,
    p99_9: u64,
    p99_99: u64,
    max: u64,
}

#[derive(Debug, Serialize)]
struct PercentilePoint {
    percentile: f64,
    us: u64,
}

#[derive(Debug, Serialize)]
struct IntervalReport {
    at_us: u64,
    length_us: u64,
    ok: u64,
    failed: u64,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: Option<u64>,
}

/// This program, which must not be what is measured.
#[derive(Debug, Serialize)]
struct Generator {
    cpu_share: Option<f64>,
    lag_p99_us: Option<u64>,
    lag_max_us: Option<u64>,
    bottleneck: Option<String>,
}

#[derive(Debug, Serialize)]
struct ThresholdReport {
    rule: String,
    measured: String,
    crossed: bool,
}

impl LoadReport {
    pub(crate) fn new(plan: &Plan, summary: &Summary, thresholds: &[Threshold]) -> LoadReport {
        let counts = &summary.counts;
        let latency = &counts.latency;
        let lag = |percentile| (!counts.lag.is_empty()).then(|| counts.lag.percentile(percentile));
        let started = humantime::format_rfc3339_seconds(summary.started).to_string();
        LoadReport {
            schema: "greet.load/v1",
            ok: exit(summary, thresholds) == Exit::Done,
            targets: plan.targets.iter().map(ToString::to_string).collect(),
            started,
            version: env!("CARGO_PKG_VERSION"),
            kind: if plan.shape.rate.is_some() { "open" } else { "closed" },
            rate_per_s: plan.shape.rate,
            concurrency: plan.shape.concurrency,
            connections: plan.shape.connections,
            threads: plan.shape.threads,
            warm_up_us: micros(plan.shape.warm_up),
            measured_us: micros(summary.measured),
            interrupted: summary.interrupted.is_some(),
            calls: CallCounts::new(summary),
            rps: summary.rps(),
            error_rate: summary.error_rate(),
            bytes: ByteCounts { sent: counts.sent_bytes, received: counts.received_bytes },
            latency_us: (!latency.is_empty()).then(|| Latency::new(latency)),
            histogram: latency.buckets(BUCKET_GROWTH),
            percentiles: percentile_curve(latency),
            intervals: intervals(summary),
            generator: Generator {
                cpu_share: summary.cpu_share,
                lag_p99_us: lag(99.0),
                lag_max_us: lag(100.0),
                bottleneck: summary.bottleneck(),
            },
            thresholds: thresholds
                .iter()
                .map(|threshold| ThresholdReport {
                    rule: threshold.rule().to_owned(),
                    measured: threshold.measured(summary),
                    crossed: threshold.is_crossed(summary),
                })
                .collect(),
            error: counts.first_failure.as_ref().map(ErrorReport::new),
        }
    }
}

impl CallCounts {
    fn new(summary: &Summary) -> CallCounts {
        let counts = &summary.counts;
        let (ok, failed) = (counts.ok(), counts.failed());
        CallCounts {
            sent: ok + failed,
            ok,
            failed,
            not_started: summary.not_started,
            by_status: counts.by_status().map(|(code, count)| (code_name(code), count)).collect(),
            by_failed_stage: counts.by_stage().map(|(stage, n)| (stage.name(), n)).collect(),
        }
    }
}

impl Latency {
    fn new(latency: &Histogram) -> Latency {
        Latency {
            min: latency.min(),
            mean: latency.mean(),
            stddev: latency.stddev(),
            p50: latency.percentile(50.0),
            p90: latency.percentile(90.0),
            p99: latency.percentile(99.0),
            p99_9: latency.percentile(99.9),
            p99_99: latency.percentile(99.99),
            max: latency.max(),
        }
    }
}

/// Ever closer to 100 %, as far as there are calls to tell: half of what is left, in five steps.
fn percentile_curve(latency: &Histogram) -> Vec<PercentilePoint> {
    if latency.is_empty() {
        return Vec::new();
    }
    let point = |percentile| PercentilePoint { percentile, us: latency.percentile(percentile) };
    let (mut points, mut left) = (Vec::new(), 100.0);
    while left * latency.count() as f64 >= 100.0 {
        points.extend((0..5).map(|step| point(100.0 - left * (1.0 - f64::from(step) / 10.0))));
        left /= 2.0;
    }
    points.push(point(100.0));
    points
}

fn intervals(summary: &Summary) -> Vec<IntervalReport> {
    let length_us = micros(summary.intervals.length);
    let report = |(at_us, interval): (u64, &Interval)| {
        let some = |us: u64| (!interval.latency.is_empty()).then_some(us);
        IntervalReport {
            at_us,
            length_us,
            ok: interval.ok,
            failed: interval.failed,
            p50_us: some(interval.latency.percentile(50.0)),
            p99_us: some(interval.latency.percentile(99.0)),
            max_us: some(interval.latency.max()),
        }
    };
    let begins = (0..).map(|index: u64| index * length_us);
    begins.zip(&summary.intervals.all).map(report).collect()
}

const PAGE: &str = include_str!("report.html");
const PLACEHOLDER: &str = "__REPORT_JSON__";

/// The page for this report.
pub(crate) fn page(report: &LoadReport) -> String {
    let json = serde_json::to_string(report).expect("a report has only strings as keys");
    // In a script element, `<` might begin its end.
    PAGE.replace(PLACEHOLDER, &json.replace('<', "\\u003c"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentile_curve_rises_to_maximum() {
        let mut latency = Histogram::new();
        (1..=1_000).for_each(|micros| latency.record(Duration::from_micros(micros)));
        let points = percentile_curve(&latency);
        assert!(
            points.windows(2).all(|pair| {
                pair[0].percentile < pair[1].percentile && pair[0].us <= pair[1].us
            })
        );
        assert_eq!((points[0].percentile, points.last().unwrap().us), (0.0, latency.max()));
        assert!(percentile_curve(&Histogram::new()).is_empty());
    }

    #[test]
    fn page_has_one_placeholder() {
        assert_eq!(PAGE.matches(PLACEHOLDER).count(), 1);
    }

    #[test]
    fn page_loads_nothing_from_network() {
        assert!(PAGE.contains("default-src 'none'"), "and browsers hold it to that");
        for elsewhere in ["src=", "href=\"http", "@import", "url(", "fetch("] {
            assert!(!PAGE.contains(elsewhere), "{elsewhere}");
        }
    }
}
