//! The status that a reply carries, however it carries it. Nothing that a peer sends may fail here:
//! what cannot be understood is left out, and the rest of the status stands ("gRPC over HTTP2").

use base64::Engine as _;
use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::percent_decode;
use tonic::{Code, Status};

use crate::metadata::BASE64;

/// The status of a reply that arrived whole: `grpc-status`, from the trailers or from headers that
/// are the whole reply; without it, what the HTTP status stands for (`http-grpc-status-mapping.md`).
pub(crate) fn of_reply(http: StatusCode, headers: &HeaderMap, trailers: &HeaderMap) -> Status {
    let status = of_headers(trailers).or_else(|| of_headers(headers));
    status.unwrap_or_else(|| of_http(http))
}

fn of_headers(headers: &HeaderMap) -> Option<Status> {
    let code = Code::from_bytes(headers.get("grpc-status")?.as_bytes());
    let message = headers.get("grpc-message").map(HeaderValue::as_bytes).unwrap_or_default();
    let message = percent_decode(message).decode_utf8_lossy();
    let details = headers.get("grpc-status-details-bin");
    let details = details.and_then(|value| BASE64.decode(value).ok()).unwrap_or_default();
    Some(Status::with_details(code, message, details.into()))
}

fn of_http(http: StatusCode) -> Status {
    let code = match http {
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("the reply has no grpc-status; its HTTP status is {http}"))
}

/// The status of a call whose stream ended without a reply ("gRPC over HTTP2", section Errors).
pub(crate) fn of_broken_stream(error: &hyper::Error) -> Status {
    let reset = http2_error(error).filter(|error| error.is_reset());
    let Some((reset, reason)) = reset.and_then(|reset| Some((reset, reset.reason()?))) else {
        return Status::unavailable("the connection was lost before the reply");
    };
    if !reset.is_remote() {
        let problem = reason.description();
        return Status::internal(format!("the reply breaks HTTP/2: {problem}"));
    }
    let code = match reason {
        h2::Reason::REFUSED_STREAM => Code::Unavailable,
        h2::Reason::CANCEL => Code::Cancelled,
        h2::Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        h2::Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Internal,
    };
    Status::new(code, format!("the server reset the call: {}", reason.description()))
}

/// Whether the server has promised that it did nothing with the call (gRFC A6, "transparent
/// retries"): the stream was beyond the last that its GOAWAY lets live, or it was refused.
pub(crate) fn was_not_accepted(error: &hyper::Error) -> bool {
    http2_error(error).is_some_and(|error| {
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (error.is_go_away() || refused)
    })
}

fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn status(trailers: &[(&'static str, &str)]) -> (Code, String) {
        let status = of_reply(StatusCode::OK, &HeaderMap::new(), &headers(trailers));
        (status.code(), status.message().to_owned())
    }

    #[test]
    fn a_message_that_is_badly_encoded_changes_nothing_but_itself() {
        let broken = [("grpc-status", "14"), ("grpc-message", "100%25%FF%zz")];
        assert_eq!(status(&broken), (Code::Unavailable, "100%\u{fffd}%zz".to_owned()));
        let details = [("grpc-status", "3"), ("grpc-status-details-bin", "!!!")];
        assert_eq!(status(&details), (Code::InvalidArgument, String::new()));
    }

    #[test]
    fn a_number_that_nobody_knows_is_unknown() {
        for number in ["17", "-1", "x", "", "007"] {
            assert_eq!(status(&[("grpc-status", number)]).0, Code::Unknown, "{number:?}");
        }
    }

    #[test]
    fn trailers_come_before_headers_and_both_before_http() {
        let ok = headers(&[("grpc-status", "0")]);
        let not_found = headers(&[("grpc-status", "5")]);
        let none = HeaderMap::new();
        let code = |http, headers, trailers| of_reply(http, headers, trailers).code();
        assert_eq!(code(StatusCode::OK, &not_found, &ok), Code::Ok);
        assert_eq!(code(StatusCode::BAD_GATEWAY, &not_found, &none), Code::NotFound);
        let mapped = [400, 401, 403, 404, 429, 502, 503, 504, 200, 415, 500]
            .map(|http| code(StatusCode::from_u16(http).unwrap(), &none, &none) as i32);
        assert_eq!(mapped, [13, 16, 7, 12, 14, 14, 14, 14, 2, 2, 2]);
    }
}
