//! The two text formats of Prometheus metrics, and the choice between them by `Accept`.

use std::fmt;

use prometheus_client::encoding::{prometheus_text, text as open_metrics};
use prometheus_client::registry::Registry;

const OPEN_METRICS: &str = "application/openmetrics-text";

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

    pub(crate) fn encode(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut text = String::new();
        match self {
            Format::OpenMetrics => open_metrics::encode(&mut text, registry)?,
            Format::Prometheus => prometheus_text::encode(&mut text, registry)?,
        }
        Ok(text)
    }
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
