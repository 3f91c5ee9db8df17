//! Reads the reply of a call: messages with their prefixes, trailers, and the status.

use bytes::{Buf as _, Bytes, BytesMut};
use greet_proto::framing::{PREFIX_BYTES, Prefix};
use h2::RecvStream;
use http::{HeaderMap, StatusCode};
use tonic::Status;

use super::status::{from_reply, from_stream_error};
use crate::error::{RpcError, StatusSource};

/// The usual limit of gRPC clients.
pub(super) const MAX_REPLY_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct ResponseStream {
    http: StatusCode,
    /// Whether the reply is more than headers with a status.
    pub(super) has_started: bool,
    pub(super) headers: HeaderMap,
    pub(super) trailers: HeaderMap,
    /// The rest of the reply, or the error that ended it.
    body: Result<RecvStream, RpcError>,
    received: BytesMut,
    /// The size of the last frame, which still occupies the flow-control window. At the end of the
    /// stream h2 releases it.
    unreleased: usize,
}

impl ResponseStream {
    pub(super) fn new(
        http: StatusCode,
        headers: HeaderMap,
        body: Result<RecvStream, RpcError>,
    ) -> ResponseStream {
        ResponseStream {
            http,
            has_started: body.as_ref().is_ok_and(|body| !body.is_end_stream()),
            headers,
            trailers: HeaderMap::new(),
            body,
            received: BytesMut::new(),
            unreleased: 0,
        }
    }

    /// Returns the next message. After `None`, [`ResponseStream::status`] returns the status.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            let body = self.body.as_mut().ok()?;
            match first_message(&self.received) {
                Ok(Some(message)) => {
                    let length = message.len();
                    self.received.advance(PREFIX_BYTES);
                    return Some(self.received.split_to(length).freeze());
                }
                Ok(None) => {}
                Err(status) => {
                    self.body = Err(RpcError::new(StatusSource::BadReply, status));
                    return None;
                }
            }
            match body.data().await {
                Some(Ok(data)) => {
                    let _ = body.flow_control().release_capacity(self.unreleased);
                    self.unreleased = data.len();
                    self.received.extend_from_slice(&data);
                }
                Some(Err(error)) => self.body = Err(from_stream_error(&error)),
                None => {
                    match body.trailers().await {
                        Ok(trailers) => self.trailers = trailers.unwrap_or_default(),
                        Err(error) => self.body = Err(from_stream_error(&error)),
                    }
                    return None;
                }
            }
        }
    }

    /// Returns the message of a unary reply.
    pub(super) async fn only(&mut self) -> Result<Bytes, RpcError> {
        let (mut first, mut count) = (None, 0);
        while let Some(reply) = self.next().await {
            count += 1;
            first.get_or_insert(reply);
        }
        self.status()?;
        match first {
            Some(reply) if count == 1 => Ok(reply),
            reply => {
                let number = if reply.is_some() { "more than one" } else { "no" };
                let status = Status::unimplemented(format!("the reply has {number} message"));
                Err(RpcError::new(StatusSource::BadReply, status))
            }
        }
    }

    /// Returns the status of the reply after its last message.
    fn status(&self) -> Result<(), RpcError> {
        if let Err(error) = &self.body {
            return Err(error.clone());
        }
        from_reply(self.http, &self.headers, &self.trailers)?;
        if self.received.is_empty() {
            return Ok(());
        }
        let status = Status::internal("the reply ends within its message");
        Err(RpcError::new(StatusSource::BadReply, status))
    }

    /// Returns why a stream that should not end has ended.
    pub(crate) fn ended(&self) -> RpcError {
        let ended = Status::unavailable("the server ended the stream");
        self.status().err().unwrap_or(RpcError::new(StatusSource::ConnectionLost, ended))
    }
}

/// Returns the first message, once it is complete.
pub(super) fn first_message(received: &[u8]) -> Result<Option<&[u8]>, Status> {
    let Some((prefix, rest)) = received.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(None);
    };
    let Prefix { flags, length } = Prefix::decode(*prefix);
    if flags != 0 {
        return Err(Status::internal("the reply is compressed, which was not requested"));
    }
    let length = length as usize;
    if length > MAX_REPLY_BYTES {
        let message = format!("the reply exceeds {MAX_REPLY_BYTES} bytes");
        return Err(Status::resource_exhausted(message));
    }
    Ok(rest.get(..length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(received: &[u8]) -> Result<Option<&[u8]>, tonic::Code> {
        first_message(received).map_err(|status| status.code())
    }

    #[test]
    fn message_is_decoded_once_complete() {
        let whole = b"\0\0\0\0\x03\x0a\x01Arest";
        for length in 0..8 {
            assert_eq!(first(&whole[..length]), Ok(None), "{length} bytes");
        }
        assert_eq!(first(whole), Ok(Some(&b"\x0a\x01A"[..])));
        assert_eq!(first(b"\0\0\0\0\0"), Ok(Some(&[][..])));
        assert_eq!(first(b"\x01\0\0\0\0"), Err(tonic::Code::Internal), "compressed");
    }

    #[test]
    fn reply_over_size_limit_is_rejected() {
        let announced =
            |bytes: usize| Prefix { flags: 0, length: u32::try_from(bytes).unwrap() }.encode();
        assert_eq!(first(&announced(MAX_REPLY_BYTES)), Ok(None));
        assert_eq!(first(&announced(MAX_REPLY_BYTES + 1)), Err(tonic::Code::ResourceExhausted));
    }
}
