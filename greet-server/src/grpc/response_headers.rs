//! The headers that responses have, and those that they must not have.

use greet_flags::product;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;

/// The header with the name of `--instance` in every response.
const INSTANCE_HEADER: HeaderName = HeaderName::from_static(product::INSTANCE_HEADER);

/// Headers of the protocol, which a handler must not set.
const RESERVED: [HeaderName; 3] = [
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-message-type"),
    HeaderName::from_static("grpc-status"),
];

/// The headers and trailers of most replies. A clone costs less than a new map.
#[derive(Debug)]
pub(crate) struct ReplyTemplate {
    headers: HeaderMap,
    trailers: HeaderMap,
    /// The value of the header `greet-instance`.
    instance: Option<HeaderValue>,
}

impl ReplyTemplate {
    pub(crate) fn new(instance: Option<HeaderValue>) -> ReplyTemplate {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        let template = ReplyTemplate { headers: HeaderMap::new(), trailers, instance };
        template.add_instance(&mut headers);
        ReplyTemplate { headers, ..template }
    }

    /// Adds the header that every response has.
    pub(super) fn add_instance(&self, headers: &mut HeaderMap) {
        if let Some(instance) = &self.instance {
            headers.insert(INSTANCE_HEADER, instance.clone());
        }
    }

    /// Returns the trailers of a reply with the status OK.
    pub(super) fn trailers(&self) -> HeaderMap {
        self.trailers.clone()
    }

    /// Returns the headers of a reply with the metadata of its handler.
    pub(super) fn headers(&self, mut metadata: HeaderMap) -> HeaderMap {
        if metadata.is_empty() {
            return self.headers.clone();
        }
        for name in &RESERVED {
            metadata.remove(name);
        }
        strip_connection_headers(&mut metadata);
        metadata.insert(CONTENT_TYPE, self.headers[CONTENT_TYPE].clone());
        self.add_instance(&mut metadata);
        metadata
    }
}

/// Removes the headers that belong to a connection (RFC 9113, section 8.2.2) or to the framing of a
/// body. HTTP/2 would reset the stream of a reply with one of them.
pub(super) fn strip_connection_headers(headers: &mut HeaderMap) {
    const STRIPPED: [HeaderName; 7] = [
        CONNECTION,
        CONTENT_LENGTH,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    if headers.keys().any(|name| STRIPPED.contains(name)) {
        for name in STRIPPED {
            headers.remove(name);
        }
    }
}
