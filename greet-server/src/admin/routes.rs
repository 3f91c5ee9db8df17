//! Answers the requests to the admin port.

use std::convert::Infallible;

use bytes::Bytes;
use greet_flags::product;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use prometheus_client::registry::Registry;

use super::access::{self, Access};
use crate::admin::collector::MetricsCollector;
use crate::config::log_filter;
use crate::lifecycle::phase::Phase;
use crate::telemetry::logging::LogControl;
use crate::telemetry::metrics::encoding::Format;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
/// Maximum size of a log filter.
const MAX_BODY_BYTES: usize = 1_024;

/// The paths and their descriptions on the index page.
const PATHS: [(&str, &str); 4] = [
    ("/livez", "200 while the process answers"),
    ("/readyz", "200 while serving, otherwise 503"),
    ("/metrics", "OpenMetrics or the Prometheus text format"),
    ("/log-level", "the log filter"),
];
const HOW_TO_CHANGE: &str = "; change it with curl -X PUT -d debug";

#[derive(Debug)]
pub(crate) struct Routes {
    collector: MetricsCollector,
    registry: Registry,
    access: Access,
}

type Page = Response<Full<Bytes>>;

impl Routes {
    pub(crate) fn new(collector: MetricsCollector, access: Access) -> Routes {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(collector.clone()));
        Routes { collector, registry, access }
    }

    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        is_unix: bool,
    ) -> Result<Page, Infallible> {
        let host = match access::host(request.headers(), request.version()) {
            Ok(host) => host,
            Err((status, problem)) => return Ok(text(status, problem)),
        };
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let is_change = request.method() == Method::PUT && !self.access.is_read_only;
        let phase = *self.collector.phase.borrow();
        Ok(match (request.uri().path(), &self.collector.log) {
            ("/log-level", Some(log)) if is_change => {
                match self.access.check_change(host.as_ref(), is_unix) {
                    Ok(()) => change_filter(log, request.into_body()).await,
                    Err((status, problem)) => text(status, problem),
                }
            }
            ("/log-level", Some(log)) if is_read => text(StatusCode::OK, log.filter()),
            ("/log-level", Some(_)) if !self.access.is_read_only => not_allowed("GET, HEAD, PUT"),
            ("/" | "/livez" | "/readyz" | "/metrics" | "/log-level", _) if !is_read => {
                not_allowed("GET, HEAD")
            }
            ("/", _) => page(StatusCode::OK, HTML, self.index(phase)),
            ("/livez", _) => text(StatusCode::OK, "alive"),
            ("/readyz", _) if phase == Phase::Serving => text(StatusCode::OK, "ready"),
            ("/readyz", _) => {
                text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}", phase.name()))
            }
            ("/metrics", _) => self.metrics(request.headers().get(ACCEPT)),
            _ => text(StatusCode::NOT_FOUND, "not found; see /"),
        })
    }

    fn index(&self, phase: Phase) -> String {
        let row = |(path, text)| {
            let is_changeable = path == "/log-level" && !self.access.is_read_only;
            let how = if is_changeable { HOW_TO_CHANGE } else { "" };
            format!("<li><a href=\"{path}\">{path}</a> {text}{how}</li>\n")
        };
        format!(
            "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{server}</title>\n\
             <h1>{server} {}</h1>\n<p>phase: {}</p>\n<ul>\n{}</ul>\n",
            product::version(),
            phase.name(),
            PATHS.map(row).concat(),
            server = product::SERVER,
        )
    }

    fn metrics(&self, accept: Option<&HeaderValue>) -> Page {
        let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let format = Format::negotiate(accept);
        match format.encode(&self.registry, || self.collector.exemplars()) {
            Ok(metrics) => page(StatusCode::OK, format.content_type(), metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

async fn change_filter(log: &LogControl, body: Incoming) -> Page {
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "the filter is over 1 KiB");
        }
        Err(_) => {
            return text(StatusCode::BAD_REQUEST, "the request body is incomplete or malformed");
        }
    };
    let given = String::from_utf8_lossy(&body);
    match log_filter(given.trim()) {
        Ok(filter) => {
            log.set(filter);
            text(StatusCode::OK, log.filter())
        }
        Err(problem) => text(StatusCode::BAD_REQUEST, format!("filter: {problem}")),
    }
}

fn text(status: StatusCode, message: impl Into<String>) -> Page {
    page(status, TEXT, message.into() + "\n")
}

fn not_allowed(allowed: &'static str) -> Page {
    let mut page = text(StatusCode::METHOD_NOT_ALLOWED, format!("allowed: {allowed}"));
    page.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    page
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Page {
    let mut page = Response::new(Full::from(body));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}
