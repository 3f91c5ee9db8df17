//! gRPC-Web, for browsers, which cannot read trailers (grpc's `PROTOCOL-WEB.md`): the same calls, with
//! the trailers as one more message of the reply, and all of it in base64 for those that ask for text.

mod base64;
mod cors;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Frame;
use tonic::body::Body;

pub(crate) use base64::DecodedBody;
pub(crate) use cors::Cors;

/// The flag of the message that holds the trailers.
const TRAILERS_FLAG: u8 = 0x80;

const BINARY: HeaderValue = HeaderValue::from_static("application/grpc-web+proto");
const TEXT: HeaderValue = HeaderValue::from_static("application/grpc-web-text+proto");

/// How the messages of a request or a reply are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Binary,
    Text,
}

/// A call that came by gRPC-Web.
#[derive(Debug, Clone)]
pub(crate) struct WebCall {
    request: Encoding,
    reply: Encoding,
    /// What a browser is told of who may read the reply.
    cors: HeaderMap,
}

/// What a request is to a server that speaks gRPC-Web.
pub(super) enum Seen {
    Call(WebCall),
    /// A browser asks whether a page may call.
    Preflight(Response<Body>),
    /// None of this protocol; with what a page is allowed to read of the answer.
    Other(HeaderMap),
}

impl Seen {
    pub(super) fn of<B>(request: &Request<B>, cors: &Cors) -> Seen {
        let headers = request.headers();
        if request.method() == Method::OPTIONS {
            let other = || Seen::Other(cors.of_reply(headers));
            return cors.preflight(headers).map_or_else(other, Seen::Preflight);
        }
        let encoding = headers.get(CONTENT_TYPE).and_then(encoding);
        let Some(encoding) = encoding.filter(|_| request.method() == Method::POST) else {
            return Seen::Other(cors.of_reply(headers));
        };
        // A browser that gets text piece by piece says so in `Accept`, whatever it sends itself.
        let reply = headers.get(ACCEPT).and_then(self::encoding).unwrap_or(encoding);
        Seen::Call(WebCall { request: encoding, reply, cors: cors.of_reply(headers) })
    }
}

impl WebCall {
    pub(super) fn request(&self) -> Encoding {
        self.request
    }

    pub(super) fn reply(&self) -> Encoding {
        self.reply
    }

    /// What the reply says of itself.
    pub(super) fn label(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, if self.reply == Encoding::Text { TEXT } else { BINARY });
        headers.extend(self.cors.clone());
    }
}

impl Encoding {
    /// A piece of a reply as it is to be sent; trailers become a message.
    pub(super) fn frame(self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let bytes = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => trailers(frame.trailers_ref()),
        };
        Frame::data(match self {
            Encoding::Binary => bytes,
            Encoding::Text => base64::encoded(&bytes),
        })
    }
}

/// `application/grpc-web` or `application/grpc-web-text`, alone or with `+proto` or parameters.
fn encoding(content_type: &HeaderValue) -> Option<Encoding> {
    let content_type = content_type.to_str().ok()?.to_ascii_lowercase();
    let media = content_type.split([';', ',']).next()?.trim();
    match media.strip_suffix("+proto").unwrap_or(media) {
        "application/grpc-web" => Some(Encoding::Binary),
        "application/grpc-web-text" => Some(Encoding::Text),
        _ => None,
    }
}

/// As HTTP/1 writes a block of headers, in lower case, with the prefix of a message.
fn trailers(trailers: Option<&HeaderMap>) -> Bytes {
    let mut block = Vec::new();
    for (name, value) in trailers.into_iter().flatten() {
        block.extend_from_slice(name.as_str().as_bytes());
        block.extend_from_slice(b": ");
        block.extend_from_slice(value.as_bytes());
        block.extend_from_slice(b"\r\n");
    }
    let length = u32::try_from(block.len()).expect("trailers of our own are small");
    [&[TRAILERS_FLAG][..], &length.to_be_bytes(), &block].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_says_how_messages_are_written() {
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
    fn trailers_are_a_message_with_a_flag_of_their_own() {
        let headers = HeaderMap::from_iter([
            (http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("3")),
            (http::HeaderName::from_static("grpc-message"), HeaderValue::from_static("no")),
        ]);
        let frame = Encoding::Binary.frame(Frame::trailers(headers));
        let expected = b"\x80\0\0\0\x22grpc-status: 3\r\ngrpc-message: no\r\n";
        assert_eq!(frame.into_data().unwrap(), &expected[..]);
    }
}
