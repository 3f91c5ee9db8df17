//! Decodes and encodes gRPC-Web's text form: base64 in chunks, each of which may end with padding.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

/// Number of characters that encode three bytes.
const GROUP: usize = 4;

/// The body of a request, decoded if it is base64.
pub(in crate::grpc) struct DecodedBody<B> {
    body: B,
    /// The characters of an incomplete group; `None` if the body is not base64.
    partial: Option<BytesMut>,
}

impl<B> DecodedBody<B> {
    pub(in crate::grpc) fn new(body: B, is_base64: bool) -> DecodedBody<B> {
        DecodedBody { body, partial: is_base64.then(BytesMut::new) }
    }
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for DecodedBody<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            let frame = ready!(Pin::new(&mut this.body).poll_frame(cx)?);
            let Some(partial) = &mut this.partial else {
                return Poll::Ready(frame.map(Ok));
            };
            match frame.map(Frame::into_data) {
                Some(Ok(text)) => {
                    partial.extend_from_slice(&text);
                    let whole = partial.len() - partial.len() % GROUP;
                    let bytes = decode(&partial.split_to(whole));
                    return Poll::Ready(Some(bytes.map(Frame::data)));
                }
                Some(Err(_trailers)) => {} // gRPC-Web requests have none
                None if partial.is_empty() => return Poll::Ready(None),
                None => {
                    partial.clear();
                    return Poll::Ready(Some(Err(not_base64())));
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
