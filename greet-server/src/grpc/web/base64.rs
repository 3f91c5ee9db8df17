//! Decodes and encodes gRPC-Web's text form: base64 in chunks, each of which may end with padding.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::Status;

/// Characters that encode three bytes.
const GROUP: usize = 4;

/// The body of a request, decoded if it is base64.
pub(crate) struct DecodedBody {
    body: Incoming,
    /// The characters of an incomplete group; `None` if the body is not base64.
    partial: Option<BytesMut>,
    is_http1: bool,
}

impl DecodedBody {
    pub(in crate::grpc) fn new(body: Incoming, is_base64: bool, version: Version) -> DecodedBody {
        let partial = is_base64.then(BytesMut::new);
        DecodedBody { body, partial, is_http1: version < Version::HTTP_2 }
    }

    /// Returns `None` over HTTP/2, where an error means that the stream was reset.
    fn status(&self, error: &hyper::Error) -> Option<Status> {
        if !self.is_http1 {
            return None;
        }
        Some(if is_malformed(error) {
            Status::internal("the request body is malformed")
        } else {
            Status::cancelled("the request body is incomplete")
        })
    }
}

fn is_malformed(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let malformed = [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData];
    error.is_some_and(|error| malformed.contains(&error.kind()))
}

impl Body for DecodedBody {
    type Data = Bytes;
    /// `None` if the stream was reset.
    type Error = Option<Status>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Option<Status>>>> {
        let this = &mut *self;
        loop {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(this.status(&error)))),
                Some(Ok(frame)) => Some(frame),
                None => None,
            };
            let Some(partial) = &mut this.partial else {
                return Poll::Ready(frame.map(Ok));
            };
            match frame.map(Frame::into_data) {
                Some(Ok(text)) => {
                    partial.extend_from_slice(&text);
                    let whole = partial.len() - partial.len() % GROUP;
                    let bytes = decode(&partial.split_to(whole));
                    return Poll::Ready(Some(bytes.map(Frame::data).map_err(Some)));
                }
                Some(Err(_trailers)) => {} // gRPC-Web has none
                None if partial.is_empty() => return Poll::Ready(None),
                None => {
                    partial.clear();
                    return Poll::Ready(Some(Err(Some(not_base64()))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.partial.as_ref().is_none_or(BytesMut::is_empty) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.partial {
            None => self.body.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

pub(super) fn encode(bytes: &[u8]) -> Bytes {
    STANDARD.encode(bytes).into()
}

/// Decodes whole groups; another chunk may follow a group with padding.
fn decode(text: &[u8]) -> Result<Bytes, Status> {
    let mut bytes = Vec::with_capacity(text.len() / GROUP * 3);
    for group in text.chunks(GROUP) {
        STANDARD.decode_vec(group, &mut bytes).map_err(|_| not_base64())?;
    }
    Ok(bytes.into())
}

fn not_base64() -> Status {
    Status::internal("the request body is not base64 (application/grpc-web-text)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_with_their_own_padding_are_joined() {
        let chunks = [encode(b"\0\0\0\0\x05"), encode(b"\x0a\x03Ada")].concat();
        assert_eq!(decode(&chunks).unwrap(), &b"\0\0\0\0\x05\x0a\x03Ada"[..]);
        assert_eq!(decode(b"no base64").unwrap_err().code(), tonic::Code::Internal);
    }
}
