//! The two text forms in which Prometheus reads metrics, and which of them a scraper prefers.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// OpenMetrics 1.0, and what there was before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    OpenMetrics,
    Prometheus,
}

const OPEN_METRICS: &str = "application/openmetrics-text";

impl Format {
    /// By the header `Accept`: OpenMetrics for whoever names it and does not like plain text better.
    pub(crate) fn accepted(accept: &str) -> Format {
        let accept = accept.to_ascii_lowercase(); // media types have no case
        let quality = |media: &str| {
            let mut offers = accept.split(',').map(str::trim);
            offers.find(|offer| offer.starts_with(media)).map_or(0.0, quality)
        };
        let (open_metrics, plain) = (quality(OPEN_METRICS), quality("text/plain"));
        match open_metrics > 0.0 && open_metrics >= plain {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// All of the registry in this form.
    pub(crate) fn write(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, registry)?;
        Ok(match self {
            Format::OpenMetrics => text,
            Format::Prometheus => older(&text),
        })
    }
}

/// What an offer weighs (RFC 9110, section 12.4.2).
fn quality(offer: &str) -> f32 {
    let mut parameters = offer.split(';').map(str::trim);
    let weight = parameters.find_map(|parameter| parameter.strip_prefix("q="));
    weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0))
}

/// The samples are the same; a counter's descriptor has the name of its samples, an info is a gauge,
/// and there is neither a unit nor an end.
fn older(text: &str) -> String {
    let mut older = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap_or((typed, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            if let Some((_, words)) = help.take() {
                older.push_str(&format!("# HELP {name}{suffix} {words}\n"));
            }
            older.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            older.push_str(line);
            older.push('\n');
        }
    }
    older
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_form_that_it_likes_best() {
        let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for (accept, form) in [
            (of_prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("text/plain, application/openmetrics-text;q=0.5", Format::Prometheus),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("text/plain;version=0.0.4", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("", Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), form, "{accept}");
        }
    }

    #[test]
    fn the_older_form_has_other_descriptors_and_the_same_samples() {
        let text = "# HELP calls Calls.\n# TYPE calls counter\ncalls_total{a=\"b\"} 1\n\
            # HELP took_seconds Time.\n# TYPE took_seconds histogram\n# UNIT took_seconds seconds\n\
            took_seconds_sum 2.5\n# HELP build Build.\n# TYPE build info\nbuild_info{v=\"1\"} 1\n# EOF\n";
        let expected = "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{a=\"b\"} 1\n\
            # HELP took_seconds Time.\n# TYPE took_seconds histogram\ntook_seconds_sum 2.5\n\
            # HELP build_info Build.\n# TYPE build_info gauge\nbuild_info{v=\"1\"} 1\n";
        assert_eq!(older(text), expected);
    }
}
