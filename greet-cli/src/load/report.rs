//! Builds the report of a load test: `greet.load/v1` as in `schema/load.schema.json`, and the HTML
//! page. Field names are an interface and end with their unit.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::by_target::ByTarget;
use super::capacity::{Capacity, Find};
use super::comparison::Comparison;
use super::figures::{Figures, IntervalReport, PercentilePoint, SCHEMA};
use super::outcome::Outcome;
use super::plan::Plan;
use super::recorder::Histogram;
use super::summary::{Interval, Summary};
use super::thresholds::Judgement;
use crate::exit::Exit;
use crate::method::name;
use crate::output::report::{ErrorReport, connect_failures, micros};

/// The width of each bucket of the histogram, relative to the one before.
const BUCKET_GROWTH: f64 = 1.1;

/// Returns the report as JSON.
pub(crate) fn report(
    plan: &Plan,
    outcome: &Outcome,
    comparison: Option<&Comparison<'_>>,
    judgements: &[Judgement],
) -> Value {
    let Outcome { summary, capacity, interrupted } = outcome;
    let (shape, counts) = (plan.shape, &summary.counts);
    let (latency, lag) = (&counts.latency, &counts.lag);
    let (figures, capacity) = (Figures::of(summary), capacity.as_ref());
    let mut calls = json!(figures.calls);
    calls["by_status"] = json!(counts.by_status().collect::<BTreeMap<_, _>>());
    calls["by_failed_stage"] = json!(counts.by_stage().collect::<BTreeMap<_, _>>());
    json!({
        "schema": SCHEMA,
        "ok": outcome.exit(judgements) == Exit::Done,
        "method": name(plan.method.as_ref()),
        "targets": plan.targets.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "started": humantime::format_rfc3339_seconds(summary.started).to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "loop": shape.loop_name(),
        "rate_per_s": summary.rate,
        "arrivals": shape.arrivals_name(),
        "concurrency": shape.concurrency,
        "connections": shape.connections,
        "threads": shape.threads,
        "warm_up_us": micros(shape.warm_up),
        "measured_us": micros(summary.measured),
        "interrupted": interrupted.is_some(),
        "calls": calls,
        "connect_failures": connect_failures(&summary.connect_failures.all()),
        "by_target": by_target(&summary.by_target),
        "rps": figures.rps,
        "error_rate": figures.error_rate,
        "bytes": { "sent": counts.sent_bytes, "received": counts.received_bytes },
        "latency_us": figures.latency_us,
        "lateness_us": counts.lateness.lateness_figures(),
        "histogram": latency.buckets(BUCKET_GROWTH),
        "percentiles": percentile_curve(latency),
        "intervals": intervals(summary),
        "sections": figures.sections,
        "steps": capacity.map_or(&[][..], |it| &it.steps),
        "knee_rate_per_s": capacity.and_then(Capacity::knee),
        "find": capacity.and_then(|it| Some(find(it, it.find.as_ref()?))),
        "generator": {
            "cpu_share": summary.cpu_share,
            "lag_p99_us": (!lag.is_empty()).then(|| lag.percentile(99.0)),
            "lag_max_us": (!lag.is_empty()).then(|| lag.max()),
            "bottleneck": summary.bottleneck(),
        },
        "thresholds": judgements,
        "baseline": comparison.map(Comparison::report),
        "error": outcome.first_failure().map(ErrorReport::new),
    })
}

fn find(capacity: &Capacity, find: &Find) -> Value {
    json!({
        "rule": find.rule.to_string(),
        "rate_per_s": find.rate(capacity.range),
        "confirmed": find.is_confirmed(),
        "runs": find.runs(),
    })
}

fn by_target(by_target: &ByTarget) -> Vec<Value> {
    let servers = by_target.all().map(|(target, peer, counts)| {
        let percentile = |p| (!counts.latency.is_empty()).then(|| counts.latency.percentile(p));
        json!({
            "target": target.to_string(),
            "peer": peer,
            "ok": counts.latency.count(),
            "failed": counts.failed,
            "p50_us": percentile(50.0),
            "p99_us": percentile(99.0),
        })
    });
    servers.collect()
}

/// Returns percentiles and latencies up to the slowest call. Each group of five points covers half
/// of the remaining distance to 100 %.
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
    let report = |(index, interval): (u64, &Interval)| {
        let Interval { latency, failed } = interval;
        let percentile = |p| (!latency.is_empty()).then(|| latency.percentile(p));
        IntervalReport {
            at_us: index * length_us,
            length_us,
            ok: latency.count(),
            failed: *failed,
            p50_us: percentile(50.0),
            p99_us: percentile(99.0),
            max_us: percentile(100.0),
        }
    };
    (0..).zip(&summary.intervals.all).map(report).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentile_curve_rises_to_maximum() {
        let mut latency = Histogram::default();
        (1..=1_000).for_each(|micros| latency.record(Duration::from_micros(micros)));
        let points = percentile_curve(&latency);
        let points: Vec<_> = points.iter().map(|point| (point.percentile, point.us)).collect();
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        assert_eq!((points[0].0, points.last().unwrap().1), (0.0, latency.max()));
        assert!(percentile_curve(&Histogram::default()).is_empty());
    }
}
