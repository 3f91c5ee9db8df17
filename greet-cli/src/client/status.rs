//! Determines the status of a reply. Parts that are malformed are omitted, and the rest of the
//! status remains valid ("gRPC over HTTP2").

use base64::Engine as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::percent_decode;
use tonic::{Code, Status};

use super::metadata::BASE64;
use crate::connect::excerpt;
use crate::error::{RpcError, StatusSource};

/// Returns whether these are the headers of a gRPC reply, rather than of a proxy or an HTTP server.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    content_type.starts_with(b"application/grpc") || headers.contains_key(Status::GRPC_STATUS)
}

/// Returns the status of a complete gRPC reply: `grpc-status` of the trailers, or of the headers of
/// a trailers-only reply, or else the status that the HTTP status maps to.
pub(crate) fn from_reply(
    http: StatusCode,
    headers: &HeaderMap,
    trailers: &HeaderMap,
) -> Result<(), RpcError> {
    let found = [trailers, headers].into_iter().find_map(|map| Some((map, code(map)?)));
    match found {
        Some((_, Code::Ok)) => Ok(()), // its message and details are of no use
        Some((map, code)) => Err(RpcError::new(StatusSource::Server, with_details(code, map))),
        None if http == StatusCode::OK => {
            let status = Status::unknown("the reply ended without grpc-status");
            Err(RpcError::new(StatusSource::NoStatus, status))
        }
        None => Err(from_http(http, headers, &[])),
    }
}

fn code(headers: &HeaderMap) -> Option<Code> {
    Some(Code::from_bytes(headers.get(Status::GRPC_STATUS)?.as_bytes()))
}

fn with_details(code: Code, headers: &HeaderMap) -> Status {
    let message = headers.get(Status::GRPC_MESSAGE).map(HeaderValue::as_bytes).unwrap_or_default();
    let message = percent_decode(message).decode_utf8_lossy();
    let details = headers.get(Status::GRPC_STATUS_DETAILS);
    let details = details.and_then(|value| BASE64.decode(value).ok()).unwrap_or_default();
    Status::with_details(code, message, details.into())
}

/// Maps the HTTP status of a reply that is not gRPC (`http-grpc-status-mapping.md`).
pub(crate) fn from_http(http: StatusCode, headers: &HeaderMap, body: &[u8]) -> RpcError {
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
    let content_type = headers.get(CONTENT_TYPE).filter(|_| http.is_success());
    let content_type =
        content_type.map(|value| format!(" of {}", String::from_utf8_lossy(value.as_bytes())));
    let status = format!("{http}{}", content_type.unwrap_or_default());
    let reply = excerpt::response(&status, headers, body);
    let status = Status::new(code, format!("the reply is not gRPC: HTTP {reply}"));
    let source = match http {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => StatusSource::HeadersTooLarge,
        StatusCode::BAD_REQUEST if excerpt::mentions_client_certificate(body) => {
            StatusSource::ClientCertificate
        }
        _ => StatusSource::NotGrpc,
    };
    RpcError::new(source, status)
}

/// Maps the error of a stream that ended without a reply ("gRPC over HTTP2", section Errors).
pub(crate) fn from_stream_error(error: &h2::Error) -> RpcError {
    let has_reason = error.is_reset() || (error.is_go_away() && error.is_library());
    let Some(reason) = error.reason().filter(|_| has_reason) else {
        let status = Status::unavailable("the connection was lost before the reply");
        return RpcError::new(StatusSource::ConnectionLost, status);
    };
    if !error.is_remote() {
        let message = format!("the reply violates HTTP/2: {}", reason.description());
        return RpcError::new(StatusSource::Reset, Status::internal(message));
    }
    let code = match reason {
        h2::Reason::REFUSED_STREAM => Code::Unavailable,
        h2::Reason::CANCEL => Code::Cancelled,
        h2::Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        h2::Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Internal,
    };
    let message = format!("the server reset the call: {}", reason.description());
    RpcError::new(StatusSource::Reset, Status::new(code, message))
}

/// Returns whether the server guarantees that it did not process the call (gRFC A6, "transparent
/// retries"): the stream was above the last of a GOAWAY, or refused.
pub(crate) fn was_not_processed(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn status(trailers: &[(&'static str, &str)]) -> (Code, String) {
        let failed = from_reply(StatusCode::OK, &HeaderMap::new(), &headers(trailers)).unwrap_err();
        (failed.status.code(), failed.status.message().to_owned())
    }

    #[test]
    fn malformed_message_or_details_keep_status() {
        let broken = [("grpc-status", "14"), ("grpc-message", "100%25%FF%zz")];
        assert_eq!(status(&broken), (Code::Unavailable, "100%\u{fffd}%zz".to_owned()));
        let details = [("grpc-status", "3"), ("grpc-status-details-bin", "!!!")];
        assert_eq!(status(&details), (Code::InvalidArgument, String::new()));
    }

    #[test]
    fn unknown_status_number_is_unknown() {
        for number in ["17", "-1", "x", "", "007"] {
            assert_eq!(status(&[("grpc-status", number)]).0, Code::Unknown, "{number:?}");
        }
    }

    #[test]
    fn status_is_taken_from_trailers_then_headers_then_http() {
        let ok = headers(&[("grpc-status", "0")]);
        let not_found = headers(&[("grpc-status", "5")]);
        let none = HeaderMap::new();
        let code = |http, headers, trailers| match from_reply(http, headers, trailers) {
            Ok(()) => Code::Ok,
            Err(failed) => failed.status.code(),
        };
        assert_eq!(code(StatusCode::OK, &not_found, &ok), Code::Ok);
        assert_eq!(code(StatusCode::BAD_GATEWAY, &not_found, &none), Code::NotFound);
        let mapped = [400, 401, 403, 404, 429, 502, 503, 504, 200, 415, 500]
            .map(|http| code(StatusCode::from_u16(http).unwrap(), &none, &none) as i32);
        assert_eq!(mapped, [13, 16, 7, 12, 14, 14, 14, 14, 2, 2, 2]);
    }
}
