//! The JSON objects of `ping`: `greet.ping/v1` as in `schema/ping.schema.json`. Their keys are an
//! interface.

use std::collections::BTreeMap;
use std::time::SystemTime;

use humantime::format_rfc3339_millis;
use serde_json::{Value, json};

use super::outage::Outage;
use super::record::{Record, Second};
use super::state::Ping;
use crate::connect::Target;
use crate::exit::Exit;
use crate::method::name;
use crate::output::report::{ErrorReport, micros};

const SCHEMA: &str = "greet.ping/v1";

pub(super) fn second(at: SystemTime, target: &Target, second: &Second, in_flight: u64) -> Value {
    let Second { latency, failed, answered_by, last_failure } = second;
    json!({
        "schema": SCHEMA,
        "kind": "interval",
        "time": time(at),
        "target": target.to_string(),
        "calls": { "ok": latency.count(), "failed": failed, "in_flight": in_flight },
        "latency_us": (!latency.is_empty()).then(|| json!({
            "p50": latency.percentile(50.0),
            "max": latency.max(),
        })),
        "answered_by": answered_by,
        "error": last_failure.as_ref().map(ErrorReport::new),
    })
}

pub(super) fn outage(target: &Target, outage: &Outage) -> Value {
    json!({
        "schema": SCHEMA,
        "kind": "outage",
        "target": target.to_string(),
        "from": time(outage.from),
        "to": outage.to.map(time),
        "duration_us": micros(outage.duration),
        "calls": outage.calls,
        "instances": outage.instances,
        "error": ErrorReport::new(&outage.failure),
    })
}

pub(super) fn summary(ping: &Ping<'_>) -> Value {
    let target = |target: &Target, record: &Record| {
        let Record { latency, outages, instances, .. } = record;
        let instances = instances.iter().map(|(name, it)| {
            let (first, last) = (time(it.first), time(it.last));
            (name, json!({ "ok": it.ok, "failed": it.failed, "first": first, "last": last }))
        });
        json!({
            "target": target.to_string(),
            "calls": { "ok": record.ok(), "failed": record.failed, "in_flight": record.in_flight() },
            "latency_us": (!latency.is_empty()).then(|| json!({
                "p50": latency.percentile(50.0),
                "p99": latency.percentile(99.0),
                "max": latency.max(),
            })),
            "outages": {
                "count": outages.count,
                "total_us": micros(outages.total),
                "longest_us": micros(outages.longest),
            },
            "instances": instances.collect::<BTreeMap<_, _>>(),
            "error": record.first_failure.as_ref().map(|it| ErrorReport::new(&it.error)),
        })
    };
    let targets = ping.targets.iter().map(|it| target(&it.target, &it.record));
    json!({
        "schema": SCHEMA,
        "kind": "summary",
        "ok": ping.exit() == Exit::Done,
        "method": name(ping.options.method.as_ref()),
        "started": time(ping.started),
        "elapsed_us": micros(ping.elapsed),
        "interval_us": micros(ping.options.interval),
        "interrupted": ping.interrupted.is_some(),
        "not_started": ping.not_started,
        "targets": targets.collect::<Vec<_>>(),
        "error": ping.first_failure().map(ErrorReport::new),
    })
}

fn time(time: SystemTime) -> String {
    format_rfc3339_millis(time).to_string()
}
