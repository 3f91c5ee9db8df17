//! The two text formats of Prometheus metrics, and the choice between them by `Accept`.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use prometheus_client::encoding::{prometheus_text, text as open_metrics};
use prometheus_client::registry::Registry;

use super::catalog::CALL_DURATION;
use super::exemplars::Exemplar;

const OPEN_METRICS: &str = "application/openmetrics-text";

/// The exemplars of the latency buckets by the labels of their series, as the formats write them.
pub(crate) type ExemplarsBySeries = HashMap<String, Vec<Option<Exemplar>>>;

/// An exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0. `promtool`, Telegraf and Vector reject it.
    OpenMetrics,
    /// The Prometheus text format 0.0.4.
    Prometheus,
}

impl Format {
    /// Selects OpenMetrics if the header `Accept` names it and does not prefer plain text.
    pub(crate) fn negotiate(accept: &str) -> Format {
        let accept = accept.to_ascii_lowercase();
        let weight_of = |media: &str| {
            let mut ranges = accept.split(',').map(str::trim);
            ranges.find(|range| range.starts_with(media)).map_or(0.0, weight)
        };
        let (open_metrics, plain) = (weight_of(OPEN_METRICS), weight_of("text/plain"));
        if open_metrics > 0.0 && open_metrics >= plain {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }

    /// Encodes the metrics; only OpenMetrics has exemplars.
    pub(crate) fn encode(
        self,
        registry: &Registry,
        exemplars: impl FnOnce() -> ExemplarsBySeries,
    ) -> Result<String, fmt::Error> {
        let mut text = String::new();
        match self {
            Format::OpenMetrics => {
                open_metrics::encode(&mut text, registry)?;
                text = with_exemplars(&text, &exemplars())?;
            }
            Format::Prometheus => prometheus_text::encode(&mut text, registry)?,
        }
        Ok(text)
    }
}

/// Appends each exemplar to the line of its bucket; in such a line the label `le` comes first. The encoder of prometheus-client cannot write them,
/// because its type for them has no public constructor.
fn with_exemplars(text: &str, exemplars: &ExemplarsBySeries) -> Result<String, fmt::Error> {
    let buckets = format!("{}_bucket{{", CALL_DURATION.name());
    let mut with_exemplars = String::with_capacity(text.len());
    let (mut series, mut bucket) = ("", 0);
    for line in text.split_inclusive('\n') {
        let labels = line.strip_prefix(&buckets).and_then(|rest| Some(rest.split_once(',')?.1));
        let labels = labels.and_then(|rest| Some(rest.split_once('}')?.0)).unwrap_or_default();
        bucket = if labels == series { bucket + 1 } else { 0 };
        series = labels;
        match exemplars.get(series).and_then(|latest| latest.get(bucket)) {
            Some(Some(exemplar)) => writeln!(with_exemplars, "{} {exemplar}", line.trim_end())?,
            _ => with_exemplars.push_str(line),
        }
    }
    Ok(with_exemplars)
}

/// Returns the weight of a media range (RFC 9110, section 12.4.2).
fn weight(range: &str) -> f32 {
    let mut parameters = range.split(';').map(str::trim);
    let weight = parameters.find_map(|parameter| parameter.strip_prefix("q="));
    weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_negotiated_by_weight() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;q=0.5,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for (accept, format) in [
            (prometheus_3, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            ("text/plain, application/openmetrics-text;q=0.5", Format::Prometheus),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("text/plain;version=0.0.4", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("", Format::Prometheus),
        ] {
            assert_eq!(Format::negotiate(accept), format, "{accept}");
        }
    }
}
