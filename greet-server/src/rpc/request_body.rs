//! A request's bytes on their way to the codec, held to what the method allows: messages of a
//! bounded size, and of a unary method exactly one.
//!
//! The codec would answer an oversize message with OUT_OF_RANGE, reserve memory for a length that
//! was only announced, and read any number of further messages without a word.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::Status;

use super::method::Requests;

/// One byte of flags, four of length ("gRPC over HTTP2", Length-Prefixed-Message).
const PREFIX_BYTES: usize = 5;

/// The body of a request, checked as it is read. An error is the status of the call.
pub(crate) struct RequestBody {
    inner: Incoming,
    messages: Messages,
}

impl RequestBody {
    pub(super) fn new(inner: Incoming, requests: Requests, max_message_bytes: usize) -> Self {
        RequestBody { inner, messages: Messages::new(requests, max_message_bytes) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let checked = match frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => self.messages.check(data).map(|()| Some(frame)),
                None => self.messages.check_end().map(|()| Some(frame)),
            },
            // The peer reset the stream, or broke it: there is nobody to answer. hyper drops a call
            // that waits on a stream that is reset; an answer would make it count as answered.
            Some(Err(_)) => return Poll::Pending,
            None => self.messages.check_end().map(|()| None),
        };
        Poll::Ready(checked.transpose())
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

    fn check(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.payload_bytes_left > 0 {
                let skipped = self.payload_bytes_left.min(data.len());
                self.payload_bytes_left -= skipped;
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
        Ok(())
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
        let [_flags, length @ ..] = self.prefix;
        let length = u32::from_be_bytes(length) as usize;
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

    fn check_end(&self) -> Result<(), Status> {
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
                let checked = bytes.chunks(size).try_for_each(|piece| messages.check(piece));
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
}
