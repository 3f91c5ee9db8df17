//! Requests that are HTTP but not gRPC: refused before a byte of their body is read, in words for a person.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use tonic::body::Body;

const GRPC: &[u8] = b"application/grpc";

/// 405 for a method that is not POST, 415 for a content-type that is not gRPC's (the latter as
/// "gRPC over HTTP2" asks; both as grpc-go answers), 505 for gRPC over HTTP/1.1; each with `headers`
/// too. `None`: it is a call.
pub(super) fn refusal<B>(request: &Request<B>, headers: HeaderMap) -> Option<Response<Body>> {
    let (status, words) = reason(request)?;
    let mut response = Response::new(Body::new(Full::from(words)));
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
        return Some((StatusCode::METHOD_NOT_ALLOWED, "a call is a POST\n"));
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    if !content_type.is_some_and(|content_type| is_grpc(content_type.as_bytes())) {
        let words =
            "a call is of the type application/grpc, or of gRPC-Web's where that is served\n";
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    // Over HTTP/1.1, which is there for gRPC-Web, the trailers would be lost.
    let words = "gRPC is HTTP/2; over 1.1 there is gRPC-Web\n";
    let is_too_old = request.version() < Version::HTTP_2;
    is_too_old.then_some((StatusCode::HTTP_VERSION_NOT_SUPPORTED, words))
}

/// `application/grpc`, alone or with `+proto` or parameters. Another subtype would be another
/// encoding than protobuf, and `application/grpc-web` is another protocol.
fn is_grpc(content_type: &[u8]) -> bool {
    let Some((kind, rest)) = content_type.split_at_checked(GRPC.len()) else {
        return false;
    };
    if !kind.eq_ignore_ascii_case(GRPC) {
        return false; // media types have no case (RFC 9110, section 8.3.1)
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
        let refusal = refusal(&request.body(()).unwrap(), HeaderMap::new());
        refusal.map(|response| response.status().as_u16())
    }

    #[test]
    fn a_call_is_a_post_with_a_grpc_content_type() {
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
            "Application/GRPC",
        ] {
            assert_eq!(status(Method::POST, Some(good)), None, "{good}");
        }
        let other = [
            "text/html",
            "application/grpcfoo",
            "application/grpc-web",
            "application/grpc+json",
            "",
        ];
        for bad in other {
            assert_eq!(status(Method::POST, Some(bad)), Some(415), "{bad}");
        }
        assert_eq!(status(Method::POST, None), Some(415));
        assert_eq!(status(Method::GET, Some("application/grpc")), Some(405));
    }
}
