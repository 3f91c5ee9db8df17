//! What OpenTelemetry's own variables say (the specification of its environment variables). What is given
//! badly there is warned of and left out, as that specification asks.

use std::env;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;

use crate::config::OtlpEndpoint;

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];

/// A span that waits is half a KiB or so.
const MAX_QUEUE_SPANS: usize = 1_000_000;
/// A day.
const MAX_MILLIS: u64 = 24 * 60 * 60 * 1_000;
/// The specification's default for exporters.
const DEFAULT_TIMEOUT_MILLIS: u64 = 10_000;
/// The defaults of the specification's batch processor.
const DEFAULT_MAX_QUEUE: usize = 2_048;
const DEFAULT_MAX_BATCH: usize = 512;
const DEFAULT_DELAY_MILLIS: u64 = 5_000;

/// What is exported, where to, and how.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) endpoint: String,
    pub(super) sampler: Sampler,
    /// Spans that may wait; what comes over that is dropped.
    pub(super) max_queue: usize,
    /// Spans that are sent together.
    pub(super) max_batch: usize,
    /// For so long a span waits for others.
    pub(super) delay: Duration,
    /// For the collector to take a batch.
    pub(super) timeout: Duration,
}

/// Returns the endpoint of the first variable that is set. An endpoint that cannot be used turns
/// tracing off and does not stop the daemon.
fn endpoint_of_environment() -> Option<OtlpEndpoint> {
    let (variable, given) = ENDPOINTS.into_iter().find_map(|name| Some((name, value(name)?)))?;
    let rejected = |error: &String| tracing::warn!(variable, error, "OTLP endpoint rejected");
    given.parse().inspect_err(rejected).ok()
}

fn is_disabled() -> bool {
    value("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"))
}

impl Settings {
    /// `None`: nothing is exported.
    pub(super) fn read(endpoint: Option<OtlpEndpoint>) -> Option<Settings> {
        let endpoint = endpoint.or_else(endpoint_of_environment).filter(|_| !is_disabled());
        let Some(OtlpEndpoint::Url(endpoint)) = endpoint else {
            return None;
        };
        let max_queue = number("OTEL_BSP_MAX_QUEUE_SIZE", 1..=MAX_QUEUE_SPANS, DEFAULT_MAX_QUEUE);
        let max_batch = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1..=max_queue, DEFAULT_MAX_BATCH);
        let delay = number("OTEL_BSP_SCHEDULE_DELAY", 0..=MAX_MILLIS, DEFAULT_DELAY_MILLIS);
        let timeout = number(TIMEOUTS[1], 1..=MAX_MILLIS, DEFAULT_TIMEOUT_MILLIS);
        let timeout = number(TIMEOUTS[0], 1..=MAX_MILLIS, timeout);
        Some(Settings {
            endpoint,
            sampler: sampler(),
            max_queue,
            max_batch: max_batch.min(max_queue),
            delay: Duration::from_millis(delay),
            timeout: Duration::from_millis(timeout),
        })
    }
}

pub(super) fn service_name() -> Option<String> {
    value("OTEL_SERVICE_NAME")
}

fn sampler() -> Sampler {
    let ratio = || Sampler::TraceIdRatioBased(number("OTEL_TRACES_SAMPLER_ARG", 0.0..=1.0, 1.0));
    let by_parent = |sampler: Sampler| Sampler::ParentBased(Box::new(sampler));
    match value("OTEL_TRACES_SAMPLER").as_deref() {
        None | Some("parentbased_always_on") => by_parent(Sampler::AlwaysOn),
        Some("always_on") => Sampler::AlwaysOn,
        Some("always_off") => Sampler::AlwaysOff,
        Some("traceidratio") => ratio(),
        Some("parentbased_always_off") => by_parent(Sampler::AlwaysOff),
        Some("parentbased_traceidratio") => by_parent(ratio()),
        Some(other) => {
            tracing::warn!(
                OTEL_TRACES_SAMPLER = other,
                "not a sampler; parentbased_always_on holds"
            );
            by_parent(Sampler::AlwaysOn)
        }
    }
}

fn number<N>(name: &str, range: RangeInclusive<N>, default: N) -> N
where
    N: FromStr + PartialOrd + Display,
{
    let Some(given) = value(name) else {
        return default;
    };
    given.parse().ok().filter(|number| range.contains(number)).unwrap_or_else(|| {
        let (least, most) = (range.start(), range.end());
        tracing::warn!(variable = name, given, "not from {least} to {most}; {default} holds");
        default
    })
}

/// One that is empty is not set.
fn value(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
