//! gRPC-Web's text form: base64, in pieces that may each have their own padding.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::Status;

use super::Encoding;

/// Characters that make three bytes.
const QUANTUM: usize = 4;

/// The body of a request as messages, whatever it was sent as.
pub(crate) enum Received {
    /// As it is.
    Plain(Incoming),
    /// From base64; characters that are not a quantum yet are kept.
    Text(Incoming, BytesMut),
}

impl Received {
    pub(in crate::rpc) fn new(body: Incoming, encoding: Encoding) -> Received {
        match encoding {
            Encoding::Binary => Received::Plain(body),
            Encoding::Text => Received::Text(body, BytesMut::new()),
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    /// `None`: the peer is gone.
    type Error = Option<Status>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Option<Status>>>> {
        let (body, kept) = match &mut *self {
            Received::Plain(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                return Poll::Ready(frame.map(|frame| frame.map_err(|_gone| None)));
            }
            Received::Text(body, kept) => (body, kept),
        };
        loop {
            match ready!(Pin::new(&mut *body).poll_frame(cx)).transpose() {
                Err(_gone) => return Poll::Ready(Some(Err(None))),
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(text) => {
                        kept.extend_from_slice(&text);
                        let whole = kept.len() - kept.len() % QUANTUM;
                        let bytes = decoded(&kept.split_to(whole));
                        return Poll::Ready(Some(bytes.map(Frame::data).map_err(Some)));
                    }
                    Err(_trailers) => {} // the protocol has none
                },
                Ok(None) if kept.is_empty() => return Poll::Ready(None),
                Ok(None) => {
                    kept.clear();
                    return Poll::Ready(Some(Err(Some(not_base64()))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Received::Plain(body) => body.is_end_stream(),
            Received::Text(body, kept) => kept.is_empty() && body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Received::Plain(body) => body.size_hint(),
            Received::Text(..) => SizeHint::default(),
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
