//! A request's bytes on their way to the codec, held to what the method allows: messages of a
//! bounded size, and of a unary method exactly one.
//!
//! The codec would answer an oversize message with OUT_OF_RANGE, reserve memory for a length that
//! was only announced, and read any number of further messages without a word. So it gets messages
//! whole, and each announcement with what was announced.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use greet_proto::framing::{PREFIX_BYTES, Prefix};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::method::Requests;
use super::web::DecodedBody;

/// The body of a request, checked as it is read. An error is the status of the call.
pub(crate) struct RequestBody<B = DecodedBody> {
    inner: B,
    messages: Messages,
    /// What has come of a message that is not whole yet. It grows with what comes.
    part: BytesMut,
    /// Where the bytes of its messages are added up.
    reads: Option<Arc<AtomicU64>>,
}

impl<B> RequestBody<B> {
    pub(super) fn new(inner: B, requests: Requests, max_message_bytes: usize) -> Self {
        let messages = Messages::new(requests, max_message_bytes);
        RequestBody { inner, messages, part: BytesMut::new(), reads: None }
    }

    pub(super) fn counting(self, reads: Option<Arc<AtomicU64>>) -> Self {
        RequestBody { reads, ..self }
    }

    /// Whether all of it was read, and was as it must be: no frame will come that says otherwise.
    pub(super) fn is_over(&self) -> bool
    where
        B: Body,
    {
        self.inner.is_end_stream() && self.messages.check_end().is_ok()
    }

    fn checked(&mut self, frame: Option<Frame<Bytes>>) -> Result<Checked, Status> {
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                let payload_bytes = self.messages.check(&data)?;
                if let Some(reads) = &self.reads {
                    reads.fetch_add(payload_bytes as u64, Ordering::Relaxed);
                }
                Ok(self
                    .whole(data)
                    .map_or(Checked::Part, |data| Checked::Whole(Some(Frame::data(data)))))
            }
            Some(Err(trailers)) => {
                self.messages.check_end()?;
                Ok(Checked::Whole(Some(trailers)))
            }
            None => {
                self.messages.check_end()?;
                Ok(Checked::Whole(None))
            }
        }
    }

    /// All that is whole by now; what came in one piece is passed on as it is.
    fn whole(&mut self, data: Bytes) -> Option<Bytes> {
        if self.part.is_empty() && self.messages.is_whole() {
            return Some(data);
        }
        self.part.extend_from_slice(&data);
        self.messages.is_whole().then(|| std::mem::take(&mut self.part).freeze())
    }
}

/// What a frame was good for.
enum Checked {
    /// The codec may have it, or the end.
    Whole(Option<Frame<Bytes>>),
    /// It is kept until the rest has come.
    Part,
}

impl<B: Body<Data = Bytes, Error = Option<Status>> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                // The peer reset the stream, or broke it: there is nobody to answer. hyper drops a
                // call that waits on a stream that is reset; an answer would count as one.
                Some(Err(None)) => return Poll::Pending,
                Some(Err(Some(status))) => return Poll::Ready(Some(Err(status))),
                Some(Ok(frame)) => Some(frame),
                None => None,
            };
            match self.checked(frame) {
                Ok(Checked::Part) => {}
                Ok(Checked::Whole(frame)) => return Poll::Ready(frame.map(Ok)),
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        false // asked only to skip reading the end, which is what has to be checked
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Follows the framing of messages without keeping any of their bytes.
#[derive(Debug)]
struct Messages {
    requests: Requests,
    max_message_bytes: usize,
    begun: u64,
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    payload_bytes_left: usize,
}

impl Messages {
    fn new(requests: Requests, max_message_bytes: usize) -> Messages {
        Messages {
            requests,
            max_message_bytes,
            begun: 0,
            prefix: [0; PREFIX_BYTES],
            prefix_bytes: 0,
            payload_bytes_left: 0,
        }
    }

    fn check(&mut self, mut data: &[u8]) -> Result<usize, Status> {
        let mut payload_bytes = 0;
        while !data.is_empty() {
            if self.payload_bytes_left > 0 {
                let skipped = self.payload_bytes_left.min(data.len());
                self.payload_bytes_left -= skipped;
                payload_bytes += skipped;
                data.advance(skipped);
                continue;
            }
            if self.prefix_bytes == 0 {
                self.begin()?;
            }
            let copied = (PREFIX_BYTES - self.prefix_bytes).min(data.len());
            let end = self.prefix_bytes + copied;
            data.copy_to_slice(&mut self.prefix[self.prefix_bytes..end]);
            self.prefix_bytes = end;
            if end == PREFIX_BYTES {
                self.announced()?;
            }
        }
        Ok(payload_bytes)
    }

    /// The first byte of a message is here.
    fn begin(&mut self) -> Result<(), Status> {
        if self.requests == Requests::One && self.begun == 1 {
            return Err(wrong_number("more than one"));
        }
        self.begun += 1;
        Ok(())
    }

    /// The length of a message is known; refused before a byte of it is kept.
    fn announced(&mut self) -> Result<(), Status> {
        let length = Prefix::decode(self.prefix).length as usize;
        let limit = self.max_message_bytes;
        if length > limit {
            return Err(Status::resource_exhausted(format!(
                "the message is {length} bytes long; the limit is {limit} bytes"
            )));
        }
        self.prefix_bytes = 0;
        self.payload_bytes_left = length;
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.prefix_bytes == 0 && self.payload_bytes_left == 0
    }

    fn check_end(&self) -> Result<(), Status> {
        if !self.is_whole() {
            return Err(Status::internal("the request ends within a message"));
        }
        match (self.requests, self.begun) {
            (Requests::One, 0) => Err(wrong_number("none")),
            _ => Ok(()),
        }
    }
}

/// The published code for a cardinality violation (grpc statuscodes.md).
fn wrong_number(sent: &str) -> Status {
    Status::unimplemented(format!("the method takes one message; the client sent {sent}"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tonic::Code;

    use super::*;

    const LIMIT: usize = 300;

    fn message(payload_bytes: usize) -> Vec<u8> {
        let length = u32::try_from(payload_bytes).unwrap().to_be_bytes();
        [&[0][..], &length, &vec![b'x'; payload_bytes]].concat()
    }

    /// Feeds `bytes` in pieces of each size and expects the same verdict from all.
    fn verdict(requests: Requests, bytes: &[u8]) -> Result<(), Code> {
        let verdicts: Vec<_> = (1..=bytes.len().max(1))
            .map(|size| {
                let mut messages = Messages::new(requests, LIMIT);
                let checked =
                    bytes.chunks(size).try_for_each(|piece| messages.check(piece).map(drop));
                checked.and_then(|()| messages.check_end()).map_err(|status| status.code())
            })
            .collect();
        assert!(verdicts.windows(2).all(|pair| pair[0] == pair[1]), "{verdicts:?}");
        verdicts[0]
    }

    #[test]
    fn a_message_may_have_the_limit_and_no_byte_more() {
        assert_eq!(verdict(Requests::One, &message(LIMIT)), Ok(()));
        assert_eq!(verdict(Requests::One, &message(LIMIT + 1)), Err(Code::ResourceExhausted));
    }

    #[test]
    fn an_announcement_is_enough_to_be_refused() {
        let announced = [0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(verdict(Requests::Many, &announced), Err(Code::ResourceExhausted));
    }

    #[test]
    fn a_unary_method_takes_exactly_one_message() {
        assert_eq!(verdict(Requests::One, &[]), Err(Code::Unimplemented));
        assert_eq!(verdict(Requests::One, &message(0)), Ok(()));
        let two = [message(0), message(0)].concat();
        assert_eq!(verdict(Requests::One, &two), Err(Code::Unimplemented));
    }

    #[test]
    fn a_stream_takes_any_number() {
        assert_eq!(verdict(Requests::Many, &[]), Ok(()));
        let three = [message(3), message(0), message(LIMIT)].concat();
        assert_eq!(verdict(Requests::Many, &three), Ok(()));
    }

    #[tokio::test]
    async fn a_message_reaches_the_codec_whole_however_it_comes() {
        let sent = message(200);
        for size in [1, 4, 5, 6, 100, 204, 205] {
            let pieces = sent
                .chunks(size)
                .map(|piece| Ok::<_, Option<Status>>(Frame::data(Bytes::copy_from_slice(piece))));
            let pieces = futures_util::stream::iter(pieces.collect::<Vec<_>>());
            let inner = http_body_util::StreamBody::new(pieces);
            let mut body = RequestBody::new(inner, Requests::One, LIMIT);
            let whole = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(whole, sent, "in pieces of {size}");
            assert!(body.frame().await.is_none());
        }
    }
}
