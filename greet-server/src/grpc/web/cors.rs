//! Implements CORS (the Fetch standard): the browser sends a preflight before a call from a page,
//! and hides response headers from the page unless the response exposes them.

use greet_flags::product;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::config::WebConfig;
use crate::grpc::reply::Reply;

const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
const POST: HeaderValue = HeaderValue::from_static("POST");
/// The response headers that a page can read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(concat!(
    "grpc-status, grpc-message, grpc-status-details-bin, ",
    product!("-instance")
));
/// Two hours, the maximum for which Chromium caches a preflight.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("7200");

/// The origins whose pages may call. Requests of the same origin need no permission.
#[derive(Debug, Clone)]
pub(crate) struct Cors {
    allowed_origins: Vec<HeaderValue>,
}

impl Cors {
    pub(crate) fn new(config: &WebConfig) -> Cors {
        Cors { allowed_origins: config.origins.clone() }
    }

    /// Returns the response to a preflight, or `None` for another request. A disallowed origin gets
    /// a response without permissions.
    pub(super) fn preflight(&self, headers: &HeaderMap) -> Option<Reply> {
        headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let origin = headers.get(ORIGIN)?;
        let mut allow = HeaderMap::new();
        allow.insert(VARY, HeaderValue::from_static("origin, access-control-request-headers"));
        if let Some(origin) = self.allowed_origin(origin) {
            allow.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            allow.insert(ACCESS_CONTROL_ALLOW_METHODS, POST);
            allow.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
            // A page may send any metadata: no call depends on cookies or credentials.
            if let Some(requested) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
                allow.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
            }
        }
        Some(Reply::http(StatusCode::NO_CONTENT, allow, ""))
    }

    /// Returns the CORS headers of the response to a request with `headers`.
    pub(super) fn response_headers(&self, headers: &HeaderMap) -> HeaderMap {
        let mut response = HeaderMap::new();
        if let Some(origin) = headers.get(ORIGIN).and_then(|origin| self.allowed_origin(origin)) {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
        response.insert(VARY, HeaderValue::from_static("origin"));
        response
    }

    fn allowed_origin(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        let mut allowed = self.allowed_origins.iter();
        allowed.find(|allowed| **allowed == ANY_ORIGIN || *allowed == origin).cloned()
    }
}
