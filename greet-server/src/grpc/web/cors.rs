//! Which pages may call (the Fetch standard's CORS protocol). A browser asks first, by a preflight, and
//! keeps from a page what a reply does not allow it to read.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tonic::body::Body;

use crate::config::WebConfig;

const ANYONE: HeaderValue = HeaderValue::from_static("*");
const POST: HeaderValue = HeaderValue::from_static("POST");
/// What tells how a call ended, and who answered; all else a page may not read.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin, greet-instance");
/// Two hours, in seconds: the longest that Chromium remembers an answer.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("7200");

/// Origins that may call. A page of the daemon's own origin needs no permission.
#[derive(Debug, Clone)]
pub(crate) struct Cors(Vec<HeaderValue>);

impl Cors {
    pub(crate) fn new(config: &WebConfig) -> Cors {
        Cors(config.origins.clone())
    }

    /// The answer to a preflight; to one from a page that may not call it allows nothing. `None`: it
    /// is none.
    pub(super) fn preflight(&self, headers: &HeaderMap) -> Option<Response<Body>> {
        headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let origin = headers.get(ORIGIN)?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let reply = response.headers_mut();
        reply.insert(VARY, HeaderValue::from_static("origin, access-control-request-headers"));
        if let Some(allowed) = self.allowed(origin) {
            reply.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            reply.insert(ACCESS_CONTROL_ALLOW_METHODS, POST);
            reply.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
            // Metadata is the page's to choose: nothing here goes by cookies or by who is logged in.
            if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
                reply.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        Some(response)
    }

    /// What goes with the reply to a call.
    pub(super) fn of_reply(&self, headers: &HeaderMap) -> HeaderMap {
        let mut reply = HeaderMap::new();
        if let Some(allowed) = headers.get(ORIGIN).and_then(|origin| self.allowed(origin)) {
            reply.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            reply.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        reply.insert(VARY, HeaderValue::from_static("origin"));
        reply
    }

    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        let mut allowed = self.0.iter();
        allowed.find(|allowed| **allowed == ANYONE || *allowed == origin).cloned()
    }
}
