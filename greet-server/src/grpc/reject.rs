//! Rejects HTTP requests that are not gRPC calls, before their body is read.

use http::header::{ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::reply::Reply;

const GRPC: &[u8] = b"application/grpc";

/// Returns the response to a request that is not a gRPC call, with `headers` added.
///
/// The status is 405 for a method other than POST, 415 for another content type ("gRPC over HTTP2"
/// requires it; grpc-go sends both), 505 for gRPC over HTTP/1.1.
pub(super) fn rejection(
    head: &Parts,
    content_type: Option<&HeaderValue>,
    headers: impl FnOnce() -> HeaderMap,
) -> Option<Reply> {
    let (status, message) = reason(head, content_type)?;
    let mut headers = headers();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    Some(Reply::http(status, headers, message))
}

fn reason(head: &Parts, content_type: Option<&HeaderValue>) -> Option<(StatusCode, &'static str)> {
    if head.method != Method::POST {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "gRPC calls use the method POST\n"));
    }
    if !content_type.is_some_and(|content_type| is_grpc(content_type.as_bytes())) {
        let message = "the content type must be application/grpc, or that of gRPC-Web if enabled\n";
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if head.version < Version::HTTP_2 {
        // Clients of HTTP/1.1 do not read trailers.
        let message = "gRPC requires HTTP/2; gRPC-Web works over HTTP/1.1\n";
        return Some((StatusCode::HTTP_VERSION_NOT_SUPPORTED, message));
    }
    None
}

/// Returns whether the type is `application/grpc`, alone or with `+proto` or parameters. Any other
/// suffix names another encoding, and `application/grpc-web` is another protocol.
pub(super) fn is_grpc(content_type: &[u8]) -> bool {
    let Some((media_type, rest)) = content_type.split_at_checked(GRPC.len()) else {
        return false;
    };
    if !media_type.eq_ignore_ascii_case(GRPC) {
        return false; // RFC 9110, section 8.3.1: media types are case-insensitive
    }
    let rest = rest.strip_prefix(b"+proto").unwrap_or(rest);
    matches!(rest.trim_ascii_start(), [] | [b';', ..]) // RFC 9110, section 5.6.6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, content_type: Option<&'static str>) -> Option<u16> {
        let request = http::Request::builder().version(Version::HTTP_2).method(method);
        let (head, ()) = request.body(()).unwrap().into_parts();
        let content_type = content_type.map(HeaderValue::from_static);
        reason(&head, content_type.as_ref()).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn calls_are_post_requests_with_a_grpc_content_type() {
        for accepted in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
            "application/grpc ; charset=utf-8",
            "application/grpc+proto\t;x=y",
            "Application/GRPC",
        ] {
            assert_eq!(status(Method::POST, Some(accepted)), None, "{accepted}");
        }
        let rejected = [
            "text/html",
            "application/grpcfoo",
            "application/grpc foo",
            "application/grpc-web",
            "application/grpc+json",
            "",
        ];
        for content_type in rejected {
            let status = status(Method::POST, Some(content_type));
            assert_eq!(status, Some(415), "{content_type}");
        }
        assert_eq!(status(Method::POST, None), Some(415));
        assert_eq!(status(Method::GET, Some("application/grpc")), Some(405));
    }
}
