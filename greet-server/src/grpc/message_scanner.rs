//! Follows the framing of a request's messages: each within the size limit, and exactly one unless
//! the client streams.
//!
//! The codec alone would answer an oversize message with OUT_OF_RANGE, allocate the announced
//! length before the payload arrives, and ignore further messages of a unary call.

use bytes::Buf as _;
use greet_proto::framing::{PREFIX_BYTES, Prefix};
use tonic::Status;

/// The position within the messages of one request. It keeps no payload.
#[derive(Debug)]
pub(super) struct MessageScanner {
    is_client_streaming: bool,
    max_message_bytes: usize,
    messages: u64,
    payload_bytes: usize,
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    payload_bytes_left: usize,
}

impl MessageScanner {
    pub(super) fn new(is_client_streaming: bool, max_message_bytes: usize) -> MessageScanner {
        MessageScanner {
            is_client_streaming,
            max_message_bytes,
            messages: 0,
            payload_bytes: 0,
            prefix: [0; PREFIX_BYTES],
            prefix_bytes: 0,
            payload_bytes_left: 0,
        }
    }

    /// Continues with the next bytes of the request.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED for a message over the limit, UNIMPLEMENTED for a second message of a
    /// unary call.
    pub(super) fn scan(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.payload_bytes_left > 0 {
                let skipped = self.payload_bytes_left.min(data.len());
                self.payload_bytes_left -= skipped;
                self.payload_bytes += skipped;
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
        Ok(())
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

    /// Returns the messages that have begun.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// Returns the scanned bytes without the prefixes.
    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    pub(super) fn is_at_boundary(&self) -> bool {
        self.prefix_bytes == 0 && self.payload_bytes_left == 0
    }

    /// Checks that the request may end here.
    ///
    /// # Errors
    /// INTERNAL within a message, UNIMPLEMENTED for a unary call without a message.
    pub(super) fn check_end(&self) -> Result<(), Status> {
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
                let scanned = bytes.chunks(size).try_for_each(|chunk| scanner.scan(chunk));
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
}
