//! Validates a request's messages on their way to the codec: each within the size limit, and
//! exactly one unless the client streams.
//!
//! The codec alone would answer an oversize message with OUT_OF_RANGE, reserve memory for a length
//! that is only announced, and ignore further messages of a unary call.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use greet_proto::framing::{PREFIX_BYTES, Prefix};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::method::Method;
use super::web::DecodedBody;

/// The body of a request, validated as it is read. An error is the status of the call.
pub(crate) struct RequestBody<B = DecodedBody> {
    inner: B,
    scanner: MessageScanner,
    /// The received bytes of an incomplete message.
    buffer: BytesMut,
    /// Sum of the payload bytes that were read.
    read_counter: Option<Arc<AtomicU64>>,
}

impl<B> RequestBody<B> {
    pub(super) fn new(inner: B, method: &Method, max_message_bytes: usize) -> Self {
        let scanner = MessageScanner::new(method.is_client_streaming, max_message_bytes);
        RequestBody { inner, scanner, buffer: BytesMut::new(), read_counter: None }
    }

    pub(super) fn count_reads(self, read_counter: Option<Arc<AtomicU64>>) -> Self {
        RequestBody { read_counter, ..self }
    }

    /// Whether the request has ended validly; no further frame can make it invalid.
    pub(super) fn is_complete(&self) -> bool
    where
        B: Body,
    {
        self.inner.is_end_stream() && self.scanner.check_end().is_ok()
    }

    /// Validates `data` and returns the whole messages received so far, or `None` within a message.
    fn accept(&mut self, data: Bytes) -> Result<Option<Bytes>, Status> {
        let payload_bytes = self.scanner.scan(&data)?;
        if let Some(counter) = &self.read_counter {
            counter.fetch_add(payload_bytes as u64, Ordering::Relaxed);
        }
        if self.buffer.is_empty() && self.scanner.is_at_boundary() {
            return Ok(Some(data)); // not split, so not copied
        }
        self.buffer.extend_from_slice(&data);
        Ok(self.scanner.is_at_boundary().then(|| std::mem::take(&mut self.buffer).freeze()))
    }
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
                // The stream was reset. hyper drops a call that waits on such a stream; a reply
                // would count as one.
                Some(Err(None)) => return Poll::Pending,
                Some(Err(Some(status))) => return Poll::Ready(Some(Err(status))),
                Some(Ok(frame)) => Some(frame),
                None => None,
            };
            match frame.map(Frame::into_data) {
                Some(Ok(data)) => {
                    if let Some(messages) = self.accept(data)? {
                        return Poll::Ready(Some(Ok(Frame::data(messages))));
                    }
                }
                Some(Err(trailers)) => {
                    self.scanner.check_end()?;
                    return Poll::Ready(Some(Ok(trailers)));
                }
                None => {
                    self.scanner.check_end()?;
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        false // `true` would let the reader skip the end, which needs the check
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Follows the framing of messages without keeping their payload.
#[derive(Debug)]
struct MessageScanner {
    is_client_streaming: bool,
    max_message_bytes: usize,
    messages: u64,
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    payload_bytes_left: usize,
}

impl MessageScanner {
    fn new(is_client_streaming: bool, max_message_bytes: usize) -> MessageScanner {
        MessageScanner {
            is_client_streaming,
            max_message_bytes,
            messages: 0,
            prefix: [0; PREFIX_BYTES],
            prefix_bytes: 0,
            payload_bytes_left: 0,
        }
    }

    /// Returns the number of payload bytes in `data`.
    fn scan(&mut self, mut data: &[u8]) -> Result<usize, Status> {
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
                self.start_message()?;
            }
            let copied = (PREFIX_BYTES - self.prefix_bytes).min(data.len());
            let end = self.prefix_bytes + copied;
            data.copy_to_slice(&mut self.prefix[self.prefix_bytes..end]);
            self.prefix_bytes = end;
            if end == PREFIX_BYTES {
                self.start_payload()?;
            }
        }
        Ok(payload_bytes)
    }

    /// Counts a message at its first byte.
    fn start_message(&mut self) -> Result<(), Status> {
        if !self.is_client_streaming && self.messages == 1 {
            return Err(cardinality_violation("more than one"));
        }
        self.messages += 1;
        Ok(())
    }

    /// Checks the announced length before a byte of the payload is kept.
    fn start_payload(&mut self) -> Result<(), Status> {
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

    fn is_at_boundary(&self) -> bool {
        self.prefix_bytes == 0 && self.payload_bytes_left == 0
    }

    fn check_end(&self) -> Result<(), Status> {
        if !self.is_at_boundary() {
            return Err(Status::internal("the request ends within a message"));
        }
        if !self.is_client_streaming && self.messages == 0 {
            return Err(cardinality_violation("none"));
        }
        Ok(())
    }
}

/// Returns the status that grpc's statuscodes.md prescribes for a wrong number of messages.
fn cardinality_violation(sent: &str) -> Status {
    Status::unimplemented(format!("the method takes one message; the client sent {sent}"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tonic::Code;

    use super::*;

    const LIMIT: usize = 300;
    const UNARY: bool = false;
    const CLIENT_STREAMING: bool = true;

    fn message(payload_bytes: usize) -> Vec<u8> {
        let length = u32::try_from(payload_bytes).unwrap().to_be_bytes();
        [&[0][..], &length, &vec![b'x'; payload_bytes]].concat()
    }

    /// Scans `bytes` in chunks of each size and expects the same result every time.
    fn scan(is_client_streaming: bool, bytes: &[u8]) -> Result<(), Code> {
        let results: Vec<_> = (1..=bytes.len().max(1))
            .map(|size| {
                let mut scanner = MessageScanner::new(is_client_streaming, LIMIT);
                let scanned =
                    bytes.chunks(size).try_for_each(|chunk| scanner.scan(chunk).map(drop));
                scanned.and_then(|()| scanner.check_end()).map_err(|status| status.code())
            })
            .collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
        results[0]
    }

    #[test]
    fn message_over_the_limit_is_rejected() {
        assert_eq!(scan(UNARY, &message(LIMIT)), Ok(()));
        assert_eq!(scan(UNARY, &message(LIMIT + 1)), Err(Code::ResourceExhausted));
    }

    #[test]
    fn announced_length_over_the_limit_is_rejected_without_payload() {
        let announced = [0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(scan(CLIENT_STREAMING, &announced), Err(Code::ResourceExhausted));
    }

    #[test]
    fn unary_method_takes_exactly_one_message() {
        assert_eq!(scan(UNARY, &[]), Err(Code::Unimplemented));
        assert_eq!(scan(UNARY, &message(0)), Ok(()));
        let two = [message(0), message(0)].concat();
        assert_eq!(scan(UNARY, &two), Err(Code::Unimplemented));
    }

    #[test]
    fn client_streaming_method_takes_any_number_of_messages() {
        assert_eq!(scan(CLIENT_STREAMING, &[]), Ok(()));
        let three = [message(3), message(0), message(LIMIT)].concat();
        assert_eq!(scan(CLIENT_STREAMING, &three), Ok(()));
    }

    #[tokio::test]
    async fn codec_receives_whole_messages_however_they_are_split() {
        let sent = message(200);
        for size in [1, 4, 5, 6, 100, 204, 205] {
            let chunks = sent
                .chunks(size)
                .map(|chunk| Ok::<_, Option<Status>>(Frame::data(Bytes::copy_from_slice(chunk))));
            let chunks = futures_util::stream::iter(chunks.collect::<Vec<_>>());
            let inner = http_body_util::StreamBody::new(chunks);
            let mut body = RequestBody::new(inner, &Method::unary(0, "/test/Unary"), LIMIT);
            let received = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(received, sent, "in chunks of {size}");
            assert!(body.frame().await.is_none());
        }
    }
}
