//! gRPC-Web's text form: base64, in pieces that may each have their own padding.

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

use super::Encoding;

/// Characters that make three bytes.
const QUANTUM: usize = 4;

/// The body of a request as messages, whatever it was sent as.
pub(crate) struct DecodedBody {
    body: Incoming,
    /// Of base64, the characters that are not a quantum yet.
    kept: Option<BytesMut>,
    is_http1: bool,
}

impl DecodedBody {
    pub(in crate::grpc) fn new(
        body: Incoming,
        encoding: Encoding,
        version: Version,
    ) -> DecodedBody {
        let kept = (encoding == Encoding::Text).then(BytesMut::new);
        DecodedBody { body, kept, is_http1: version < Version::HTTP_2 }
    }

    /// Over HTTP/2 its stream was reset, and nobody waits for an answer. Over HTTP/1.1 who sent it may.
    fn broken(&self, error: &hyper::Error) -> Option<Status> {
        self.is_http1.then(|| match is_cut_short(error) {
            true => Status::cancelled("the request was cut short"),
            false => Status::internal("the request's body is not what HTTP/1.1 has"),
        })
    }
}

/// Or else it is malformed.
fn is_cut_short(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let malformed = [io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData];
    cause.is_none_or(|cause| !malformed.contains(&cause.kind()))
}

impl Body for DecodedBody {
    type Data = Bytes;
    /// `None`: the peer is gone.
    type Error = Option<Status>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Option<Status>>>> {
        let this = &mut *self;
        loop {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(this.broken(&error)))),
                Some(Ok(frame)) => Some(frame),
                None => None,
            };
            let Some(kept) = &mut this.kept else {
                return Poll::Ready(frame.map(Ok));
            };
            match frame.map(Frame::into_data) {
                Some(Ok(text)) => {
                    kept.extend_from_slice(&text);
                    let whole = kept.len() - kept.len() % QUANTUM;
                    let bytes = decoded(&kept.split_to(whole));
                    return Poll::Ready(Some(bytes.map(Frame::data).map_err(Some)));
                }
                Some(Err(_trailers)) => {} // the protocol has none
                None if kept.is_empty() => return Poll::Ready(None),
                None => {
                    kept.clear();
                    return Poll::Ready(Some(Err(Some(not_base64()))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.kept.as_ref().is_none_or(BytesMut::is_empty) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.kept {
            None => self.body.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

/// A piece of a reply.
pub(super) fn encoded(bytes: &[u8]) -> Bytes {
    STANDARD.encode(bytes).into()
}

/// Whole quanta; after one with padding another piece may begin.
fn decoded(text: &[u8]) -> Result<Bytes, Status> {
    let mut bytes = Vec::with_capacity(text.len() / QUANTUM * 3);
    for piece in text.chunks(QUANTUM) {
        STANDARD.decode_vec(piece, &mut bytes).map_err(|_| not_base64())?;
    }
    Ok(bytes.into())
}

fn not_base64() -> Status {
    Status::internal("the request is not base64, as application/grpc-web-text has to be")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_with_padding_of_their_own_are_one_request() {
        let pieces = [encoded(b"\0\0\0\0\x05"), encoded(b"\x0a\x03Ada")].concat();
        assert_eq!(decoded(&pieces).unwrap(), &b"\0\0\0\0\x05\x0a\x03Ada"[..]);
        assert_eq!(decoded(b"no base64").unwrap_err().code(), tonic::Code::Internal);
    }
}
