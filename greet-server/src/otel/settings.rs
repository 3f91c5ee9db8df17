//! What OpenTelemetry's own variables say (the specification of its environment variables). What is given
//! badly there is warned of and left out, as that specification asks.

use std::env;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The defaults of the specification's batch processor.
const DEFAULT_MAX_QUEUE: usize = 2_048;
const DEFAULT_MAX_BATCH: usize = 512;
const DEFAULT_DELAY_MILLIS: u64 = 5_000;

/// What is exported, where to, and how.
#[derive(Debug)]
pub(super) struct Settings {
    /// `None`: the exporter knows those variables itself.
    pub(super) endpoint: Option<String>,
    pub(super) sampler: Sampler,
    /// Spans that may wait; what comes over that is dropped.
    pub(super) max_queue: usize,
    /// Spans that are sent together.
    pub(super) max_batch: usize,
    /// For so long a span waits for others.
    pub(super) delay: Duration,
}

impl Settings {
    /// `None`: nothing is exported.
    pub(super) fn read(endpoint: Option<&str>) -> Option<Settings> {
        let is_disabled =
            value("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let is_wanted = endpoint.is_some() || ENDPOINTS.iter().any(|name| value(name).is_some());
        if is_disabled || !is_wanted {
            return None;
        }
        let max_queue = number("OTEL_BSP_MAX_QUEUE_SIZE", DEFAULT_MAX_QUEUE).max(1);
        let max_batch = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", DEFAULT_MAX_BATCH);
        let delay = number("OTEL_BSP_SCHEDULE_DELAY", DEFAULT_DELAY_MILLIS);
        Some(Settings {
            endpoint: endpoint.map(str::to_owned),
            sampler: sampler(),
            max_queue,
            max_batch: max_batch.clamp(1, max_queue),
            delay: Duration::from_millis(delay),
        })
    }
}

fn sampler() -> Sampler {
    let ratio = || Sampler::TraceIdRatioBased(number("OTEL_TRACES_SAMPLER_ARG", 1.0));
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

fn number<N: FromStr + Display>(name: &str, default: N) -> N {
    let Some(given) = value(name) else {
        return default;
    };
    given.parse().unwrap_or_else(|_| {
        tracing::warn!(variable = name, given, "not a number; {default} holds");
        default
    })
}

/// One that is empty is not set.
fn value(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
