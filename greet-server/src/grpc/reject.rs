//! Rejects HTTP requests that are not gRPC calls, before their body is read.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use tonic::body::Body;

const GRPC: &[u8] = b"application/grpc";

/// Returns the response to a request that is not a gRPC call, with `headers` among its own.
///
/// The status is 405 for a method other than POST, 415 for another content type ("gRPC over HTTP2"
/// requires it; grpc-go sends both), 505 for gRPC over HTTP/1.1.
pub(super) fn rejection<B>(request: &Request<B>, headers: HeaderMap) -> Option<Response<Body>> {
    let (status, message) = reason(request)?;
    let mut response = Response::new(Body::new(Full::from(message)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    Some(response)
}

fn reason<B>(request: &Request<B>) -> Option<(StatusCode, &'static str)> {
    if request.method() != Method::POST {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "gRPC calls use the method POST\n"));
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    if !content_type.is_some_and(|content_type| is_grpc(content_type.as_bytes())) {
        let message = "the content type must be application/grpc, or that of gRPC-Web if enabled\n";
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if request.version() < Version::HTTP_2 {
        // Clients of HTTP/1.1 do not read trailers.
        let message = "gRPC requires HTTP/2; gRPC-Web works over HTTP/1.1\n";
        return Some((StatusCode::HTTP_VERSION_NOT_SUPPORTED, message));
    }
    None
}

/// Accepts `application/grpc`, alone or with `+proto` or parameters. Another suffix is another
/// encoding than protobuf, and `application/grpc-web` is another protocol.
fn is_grpc(content_type: &[u8]) -> bool {
    let Some((media_type, rest)) = content_type.split_at_checked(GRPC.len()) else {
        return false;
    };
    if !media_type.eq_ignore_ascii_case(GRPC) {
        return false; // RFC 9110, section 8.3.1: media types are case-insensitive
    }
    let rest = rest.strip_prefix(b"+proto").unwrap_or(rest);
    matches!(rest, [] | [b';', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, content_type: Option<&str>) -> Option<u16> {
        let mut request = Request::builder().version(Version::HTTP_2).method(method);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let rejection = rejection(&request.body(()).unwrap(), HeaderMap::new());
        rejection.map(|response| response.status().as_u16())
    }

    #[test]
    fn calls_are_post_requests_with_a_grpc_content_type() {
        for accepted in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
            "Application/GRPC",
        ] {
            assert_eq!(status(Method::POST, Some(accepted)), None, "{accepted}");
        }
        let rejected = [
            "text/html",
            "application/grpcfoo",
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
