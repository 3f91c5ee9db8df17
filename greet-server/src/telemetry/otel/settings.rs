//! Reads OpenTelemetry's environment variables. The SDK and the exporter read most of them as well,
//! but ignore an invalid value silently, and lose every span or abort for an extreme queue size.

use std::env;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{BatchConfig, BatchConfigBuilder};
use percent_encoding::percent_decode_str;

use crate::config::{Config, OtlpEndpoint};

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"];
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// A queued span takes about 512 bytes.
const MAX_QUEUE_SPANS: usize = 1_000_000;
const MAX_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// Returns the collector's URL, or `None` without export. An invalid variable turns tracing off.
pub(super) fn endpoint(config: &Config) -> Option<String> {
    let is = |name, expected| value(name).is_some_and(|given| given.eq_ignore_ascii_case(expected));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let from_environment = || {
        let (variable, given) =
            ENDPOINTS.into_iter().find_map(|name| Some((name, value(name)?)))?;
        let reject = |error: &String| tracing::warn!(variable, error, "OTLP endpoint rejected");
        given.parse().inspect_err(reject).ok()
    };
    match config.otlp_endpoint.clone().or_else(from_environment)? {
        OtlpEndpoint::Off => None,
        OtlpEndpoint::Url(url) => Some(url),
    }
}

/// Warns of values that the SDK silently replaces by its default.
pub(super) fn check_names() {
    let check = |variable: &str, known: &[&str]| {
        if let Some(given) = value(variable).filter(|given| !known.contains(&given.as_str())) {
            warn_ignored(variable, &given, known.join(", "));
        }
    };
    check("OTEL_TRACES_EXPORTER", &["otlp"]);
    PROTOCOLS.iter().for_each(|variable| check(variable, &["grpc"]));
    check("OTEL_TRACES_SAMPLER", &SAMPLERS);
    number("OTEL_TRACES_SAMPLER_ARG", 0.0..=1.0, 1.0);
}

/// Returns the number of spans that may wait for export, and the form of the batches.
pub(super) fn batches() -> (usize, BatchConfig) {
    let queue = number("OTEL_BSP_MAX_QUEUE_SIZE", 1..=MAX_QUEUE_SPANS, 2_048);
    let batch = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1..=queue, queue.min(512));
    let delay = number("OTEL_BSP_SCHEDULE_DELAY", 1..=MAX_MILLIS, 5_000);
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(queue)
        .with_max_export_batch_size(batch)
        .with_scheduled_delay(Duration::from_millis(delay));
    (queue, config.build())
}

pub(super) fn export_timeout() -> Duration {
    let millis = |default, variable| number(variable, 1..=MAX_MILLIS, default);
    Duration::from_millis(TIMEOUTS.into_iter().fold(10_000, millis))
}

/// Returns the daemon's attributes; OTEL_RESOURCE_ATTRIBUTES replaces them, then OTEL_SERVICE_NAME.
pub(super) fn resource(config: &Config) -> Resource {
    let text = |key: &'static str, value: &str| KeyValue::new(key, value.to_owned());
    let instance = config.instance.as_ref().and_then(|instance| instance.to_str().ok());
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attribute(text("service.name", env!("CARGO_PKG_NAME")))
        .with_attribute(text("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(instance.map(|name| text("service.instance.id", name)))
        .with_attributes(resource_attributes())
        .with_attributes(value("OTEL_SERVICE_NAME").map(|name| text("service.name", &name)))
        .build()
}

/// Decodes `key=value,key=value`. One invalid pair discards the list, as the specification says.
fn resource_attributes() -> Vec<KeyValue> {
    let decode = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        Some(KeyValue::new(key.trim().to_owned(), value.into_owned()))
    };
    let given = value(RESOURCE_ATTRIBUTES).unwrap_or_default();
    given.split_terminator(',').map(decode).collect::<Option<_>>().unwrap_or_else(|| {
        warn_ignored(RESOURCE_ATTRIBUTES, &given, "percent-encoded pairs key=value");
        Vec::new()
    })
}

fn number<N>(variable: &str, range: RangeInclusive<N>, default: N) -> N
where
    N: FromStr + PartialOrd + Display,
{
    let Some(given) = value(variable) else {
        return default;
    };
    given.parse().ok().filter(|number| range.contains(number)).unwrap_or_else(|| {
        warn_ignored(variable, &given, format!("{} to {}", range.start(), range.end()));
        default
    })
}

fn warn_ignored(variable: &str, value: &str, expected: impl Display) {
    tracing::warn!(variable, value, %expected, "environment variable ignored");
}

/// Returns a variable's value; an empty variable counts as unset, as the specification says.
fn value(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
