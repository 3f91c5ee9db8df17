//! Translates gRPC-Web (grpc's `PROTOCOL-WEB.md`), for browsers, which cannot read trailers: the
//! trailers become the last message of the response, and the text form encodes the body in base64.

mod base64;
pub(super) mod cors;
pub(super) mod request;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;

pub(super) use base64::DecodedBody;

/// The flag in the prefix of the message with the trailers.
const TRAILERS_FLAG: u8 = 0x80;

const BINARY: HeaderValue = HeaderValue::from_static("application/grpc-web+proto");
const TEXT: HeaderValue = HeaderValue::from_static("application/grpc-web-text+proto");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Binary,
    Text,
}

#[derive(Debug, Clone)]
pub(super) struct WebCall {
    pub(super) request_encoding: Encoding,
    pub(super) response_encoding: Encoding,
    /// The CORS headers of the response.
    cors: HeaderMap,
}

impl WebCall {
    /// Adds the content type and the CORS headers of the response.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        let content_type = match self.response_encoding {
            Encoding::Binary => BINARY,
            Encoding::Text => TEXT,
        };
        headers.insert(CONTENT_TYPE, content_type);
        headers.extend(self.cors.clone());
    }
}

impl Encoding {
    /// Encodes a frame of the response; trailers become a message.
    pub(super) fn encode(self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let bytes = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => trailers(frame.trailers_ref()),
        };
        Frame::data(match self {
            Encoding::Binary => bytes,
            Encoding::Text => base64::encode(&bytes),
        })
    }
}

/// Accepts `application/grpc-web` and `application/grpc-web-text`, with `+proto` or parameters.
pub(super) fn encoding(content_type: &HeaderValue) -> Option<Encoding> {
    let content_type = content_type.to_str().ok()?.to_ascii_lowercase();
    let media = content_type.split([';', ',']).next()?.trim();
    match media.strip_suffix("+proto").unwrap_or(media) {
        "application/grpc-web" => Some(Encoding::Binary),
        "application/grpc-web-text" => Some(Encoding::Text),
        _ => None,
    }
}

/// Writes the trailers as a message: an HTTP/1 header block in lower case after the prefix.
fn trailers(trailers: Option<&HeaderMap>) -> Bytes {
    let mut block = Vec::new();
    for (name, value) in trailers.into_iter().flatten() {
        block.extend_from_slice(name.as_str().as_bytes());
        block.extend_from_slice(b": ");
        block.extend_from_slice(value.as_bytes());
        block.extend_from_slice(b"\r\n");
    }
    let length = u32::try_from(block.len()).expect("trailers are far below 4 GiB");
    [&[TRAILERS_FLAG][..], &length.to_be_bytes(), &block].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_type_selects_the_encoding() {
        let of = |text: &'static str| encoding(&HeaderValue::from_static(text));
        for binary in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "Application/gRPC-Web+proto; charset=utf-8",
        ] {
            assert_eq!(of(binary), Some(Encoding::Binary), "{binary}");
        }
        for text in ["application/grpc-web-text", "application/grpc-web-text+proto"] {
            assert_eq!(of(text), Some(Encoding::Text), "{text}");
        }
        for other in ["application/grpc", "application/grpc-web+json", "text/html", ""] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn trailers_become_a_message_with_the_trailers_flag() {
        let headers = HeaderMap::from_iter([
            (http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("3")),
            (http::HeaderName::from_static("grpc-message"), HeaderValue::from_static("no")),
        ]);
        let frame = Encoding::Binary.encode(Frame::trailers(headers));
        let expected = b"\x80\0\0\0\x22grpc-status: 3\r\ngrpc-message: no\r\n";
        assert_eq!(frame.into_data().unwrap(), &expected[..]);
    }
}
