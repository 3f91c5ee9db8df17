//! Reads OpenTelemetry's environment variables. The SDK and the exporter read most of them as well,
//! but ignore an invalid value silently, and lose every span or abort for an extreme queue size.
//!
//! An invalid value on which the export depends turns tracing off. One that only tunes the export is
//! ignored, as the specification says. Both are logged as warnings.

use std::env;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use greet_flags::pem;
use http::{HeaderName, HeaderValue};
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use opentelemetry_sdk::trace::{BatchConfig, BatchConfigBuilder};
use percent_encoding::percent_decode_str;

use crate::config::{Config, OtlpEndpoint};

/// The variable for traces, which wins, and that for all signals.
type Variables = [&'static str; 2];

const ENDPOINTS: Variables = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: Variables = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const COMPRESSIONS: Variables =
    ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
const HEADERS: Variables = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const CERTIFICATES: Variables =
    ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const CLIENT_CERTIFICATES: Variables =
    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"];
const CLIENT_KEYS: Variables =
    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"];
/// In ascending precedence.
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

/// The collector.
pub(super) struct Destination {
    pub(super) url: String,
    /// `None` for plaintext.
    pub(super) tls: Option<ClientTlsConfig>,
}

/// A value on which the export depends.
struct Unusable {
    variable: &'static str,
    problem: String,
}

/// Returns the collector, or `None` without export. An invalid variable turns tracing off.
pub(super) fn destination(config: &Config) -> Option<Destination> {
    if config.otlp_endpoint == OtlpEndpoint::Off {
        return None;
    }
    let is = |name, expected| value(name).is_some_and(|given| given.eq_ignore_ascii_case(expected));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let read = || {
        let OtlpEndpoint::Url(url) = endpoint(config)? else {
            return Ok(None);
        };
        check_name(&["OTEL_TRACES_EXPORTER"], &["otlp"])?;
        check_name(&PROTOCOLS, &["grpc"])?;
        check_name(&COMPRESSIONS, &["gzip", "none"])?;
        check_headers()?;
        let tls = if url.starts_with("https:") { Some(tls()?) } else { None };
        Ok(Some(Destination { url, tls }))
    };
    read().unwrap_or_else(|Unusable { variable, problem }| {
        tracing::warn!(variable, problem, "tracing turned off");
        None
    })
}

fn endpoint(config: &Config) -> Result<OtlpEndpoint, Unusable> {
    match (&config.otlp_endpoint, first(&ENDPOINTS)) {
        (OtlpEndpoint::FromEnvironment, Some((variable, given))) => {
            given.parse().map_err(|problem| Unusable { variable, problem })
        }
        (endpoint, _) => Ok(endpoint.clone()),
    }
}

fn check_name(variables: &[&'static str], known: &[&str]) -> Result<(), Unusable> {
    match first(variables) {
        Some((variable, given)) if !known.iter().any(|known| given.eq_ignore_ascii_case(known)) => {
            let problem = format!("{given:?} is not {}", known.join(" or "));
            Err(Unusable { variable, problem })
        }
        _ => Ok(()),
    }
}

/// Checks the form of the headers. They may authenticate the daemon, so no message quotes them.
fn check_headers() -> Result<(), Unusable> {
    let is_header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        HeaderName::from_str(name.trim()).ok()?;
        HeaderValue::from_str(&percent_decode_str(value.trim()).decode_utf8().ok()?).ok()
    };
    match first(&HEADERS) {
        Some((variable, given))
            if !given.split_terminator(',').all(|pair| is_header(pair).is_some()) =>
        {
            let problem = "the value is not percent-encoded pairs name=value".to_owned();
            Err(Unusable { variable, problem })
        }
        _ => Ok(()),
    }
}

/// Returns the verification of the collector: by its CA, or else by the system's roots.
fn tls() -> Result<ClientTlsConfig, Unusable> {
    let mut tls = match first(&CERTIFICATES) {
        Some((variable, file)) => {
            let ca = read_pem(variable, &file, |path, pem| pem::certificates(path, pem).map(drop))?;
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca))
        }
        None => ClientTlsConfig::new().with_enabled_roots(),
    };
    let needs = |variable, other: Variables| Unusable {
        variable,
        problem: format!("needs {} as well", other[1]),
    };
    match (first(&CLIENT_CERTIFICATES), first(&CLIENT_KEYS)) {
        (Some((variable, cert)), Some((key_variable, key))) => {
            let cert =
                read_pem(variable, &cert, |path, pem| pem::certificates(path, pem).map(drop))?;
            let key =
                read_pem(key_variable, &key, |path, pem| pem::private_key(path, pem).map(drop))?;
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        (Some((variable, _)), None) => return Err(needs(variable, CLIENT_KEYS)),
        (None, Some((variable, _))) => return Err(needs(variable, CLIENT_CERTIFICATES)),
        (None, None) => {}
    }
    Ok(tls)
}

fn read_pem(
    variable: &'static str,
    file: &str,
    check: impl Fn(&Path, &[u8]) -> Result<(), String>,
) -> Result<Vec<u8>, Unusable> {
    let path = Path::new(file);
    let checked = pem::read_file(path).and_then(|pem| check(path, &pem).map(|()| pem));
    checked.map_err(|problem| Unusable { variable, problem })
}

/// Returns the first of the variables that is set, with its value.
fn first(variables: &[&'static str]) -> Option<(&'static str, String)> {
    variables.iter().find_map(|name| Some((*name, value(name)?)))
}

/// Warns of the samplers that the SDK silently replaces by its default.
pub(super) fn check_sampler() {
    if let Some(given) = value("OTEL_TRACES_SAMPLER").filter(|given| !SAMPLERS.contains(&&**given))
    {
        warn_ignored("OTEL_TRACES_SAMPLER", &given, SAMPLERS.join(", "));
    }
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

/// Returns the resource attributes that variables set, those with precedence last.
pub(crate) fn resource_from_environment() -> Vec<(String, String)> {
    let mut attributes = resource_attributes();
    let name = value("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name));
    attributes.extend(name);
    attributes
}

/// Decodes `key=value,key=value`. One invalid pair discards the list, as the specification says.
fn resource_attributes() -> Vec<(String, String)> {
    let decode = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        Some((key.trim().to_owned(), value.into_owned()))
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
