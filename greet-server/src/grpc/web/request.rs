//! Classifies a request as a gRPC-Web call, a CORS preflight, or neither.

use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

use super::cors::Cors;
use super::{WebCall, encoding};
use crate::grpc::reply::Reply;

/// A request to a server with gRPC-Web, by kind.
pub(in crate::grpc) enum WebRequest {
    Call(WebCall),
    /// A CORS preflight, with its response.
    Preflight(Reply),
    /// Not gRPC-Web; with the CORS headers of the response.
    Other(HeaderMap),
}

impl WebRequest {
    pub(in crate::grpc) fn classify(
        head: &Parts,
        content_type: Option<&HeaderValue>,
        cors: &Cors,
    ) -> WebRequest {
        let headers = &head.headers;
        if head.method == Method::OPTIONS
            && let Some(reply) = cors.preflight(headers)
        {
            return WebRequest::Preflight(reply);
        }
        let cors = cors.response_headers(headers);
        let request_encoding = content_type.and_then(encoding);
        match request_encoding.filter(|_| head.method == Method::POST) {
            Some(request_encoding) => {
                // A browser that streams text requests it in `Accept`, and may send binary.
                let accepted = headers.get(ACCEPT).and_then(encoding);
                let response_encoding = accepted.unwrap_or(request_encoding);
                WebRequest::Call(WebCall { request_encoding, response_encoding, cors })
            }
            None => WebRequest::Other(cors),
        }
    }
}
