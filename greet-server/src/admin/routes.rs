//! Answers the requests to the admin port.

use std::convert::Infallible;

use bytes::Bytes;
use greet_flags::product;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use prometheus_client::registry::Registry;

use super::access::{self, Access};
use super::settings::Setting;
use crate::admin::collector::MetricsCollector;
use crate::grpc;
use crate::grpc::connection_state::Peer;
use crate::lifecycle::phase::Phase;
use crate::telemetry::metrics::encoding::Format;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// The paths and their descriptions on the index page.
const PATHS: [(&str, &str); 6] = [
    ("/livez", "200 while the process answers"),
    ("/readyz", "200 while serving, otherwise 503"),
    ("/metrics", "OpenMetrics or the Prometheus text format"),
    ("/log-level", "the log filter"),
    ("/health/", "the health of the server; /health/SERVICE, that of a service"),
    ("/faults", "the faults that are injected into calls"),
];
/// The paths that accept a change, and how.
const CHANGES: [(&str, &str); 3] = [
    ("/log-level", "change it with curl -X PUT -d debug"),
    ("/health/", "change it with curl -X PUT -d NOT_SERVING"),
    ("/faults", "change them with curl -X PUT -d delay=50ms@10%, remove them with curl -X DELETE"),
];

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
        peer: Peer,
    ) -> Result<Page, Infallible> {
        let host = match access::host(request.headers(), request.version()) {
            Ok(host) => host,
            Err((status, problem)) => return Ok(text(status, problem)),
        };
        let path = request.uri().path().to_owned();
        if let Some(setting) = Setting::find(&path, &self.collector) {
            return Ok(self.answer_setting(&setting, request, host.as_ref(), peer).await);
        }
        let phase = *self.collector.phase.borrow();
        Ok(match path.as_str() {
            "/" | "/livez" | "/readyz" | "/metrics" if !is_read(request.method()) => {
                not_allowed("GET, HEAD")
            }
            "/" => page(StatusCode::OK, HTML, self.index(phase)),
            "/livez" => text(StatusCode::OK, "alive"),
            "/readyz" if phase == Phase::Serving => text(StatusCode::OK, "ready"),
            "/readyz" => {
                text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}", phase.name()))
            }
            "/metrics" => self.metrics(request.headers().get(ACCEPT)),
            _ => text(StatusCode::NOT_FOUND, "not found; see /"),
        })
    }

    /// Returns the value of a setting, after the change that the request asks for.
    async fn answer_setting(
        &self,
        setting: &Setting<'_>,
        request: Request<Incoming>,
        host: Option<&Authority>,
        peer: Peer,
    ) -> Page {
        let method = request.method().clone();
        let allowed = setting.allowed(self.access.is_read_only);
        if !allowed.split(", ").any(|allowed| method == allowed) {
            return not_allowed(allowed);
        }
        let value = if is_read(&method) {
            setting.value()
        } else if let Err(rejection) = self.access.check_change(host, peer == Peer::Unix) {
            Err(rejection)
        } else {
            let served = self.collector.workers.methods().iter().map(grpc::Method::name);
            setting.change(&method, request.into_body(), peer, &served.collect::<Vec<_>>()).await
        };
        match value {
            Ok(value) => text(StatusCode::OK, value),
            Err((status, problem)) => text(status, problem),
        }
    }

    fn index(&self, phase: Phase) -> String {
        let row = |(path, text)| {
            let mut changes = CHANGES.iter().filter(|_| !self.access.is_read_only);
            let how = changes.find(|(changed, _)| *changed == path);
            let how = how.map(|(_, how)| format!("; {how}")).unwrap_or_default();
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

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
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
