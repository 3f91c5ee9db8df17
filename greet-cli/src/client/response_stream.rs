//! What comes back of a call: messages with their prefixes, trailers, and how it ended.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes, BytesMut};
use greet_proto::framing::{PREFIX_BYTES, Prefix};
use h2::RecvStream;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use prost::Message;
use tonic::Status;

use super::status::{from_reply, from_stream_error};
use crate::error::{RpcError, StatusSource};

/// The limit that other gRPC clients have for a reply.
const MAX_REPLY_BYTES: usize = 4 * 1024 * 1024;

/// The messages of a reply, as they come.
#[derive(Debug)]
pub(crate) struct ResponseStream<Reply> {
    http: StatusCode,
    has_started: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    body: RecvStream,
    received: BytesMut,
    broken: Option<RpcError>,
    message: PhantomData<Reply>,
}

impl<Reply: Message + Default> ResponseStream<Reply> {
    pub(crate) fn new(head: Parts, body: RecvStream) -> ResponseStream<Reply> {
        ResponseStream {
            http: head.status,
            has_started: !body.is_end_stream(),
            headers: head.headers,
            trailers: HeaderMap::new(),
            body,
            received: BytesMut::new(),
            broken: None,
            message: PhantomData,
        }
    }

    /// `None`: there are no more, and [`ResponseStream::status`] says why.
    pub(crate) async fn next(&mut self) -> Option<Result<Reply, RpcError>> {
        while self.broken.is_none() {
            match take_message(&mut self.received) {
                Ok(Some(message)) => return Some(decode(message)),
                Ok(None) => {}
                Err(problem) => {
                    self.broken = Some(RpcError::new(StatusSource::BadReply, problem));
                    break;
                }
            }
            match self.body.data().await {
                Some(Ok(data)) => {
                    let _ = self.body.flow_control().release_capacity(data.len());
                    self.received.extend_from_slice(&data);
                }
                Some(Err(error)) => self.broken = Some(from_stream_error(&error)),
                None => {
                    match self.body.trailers().await {
                        Ok(trailers) => self.trailers = trailers.unwrap_or_default(),
                        Err(error) => self.broken = Some(from_stream_error(&error)),
                    }
                    break;
                }
            }
        }
        None
    }

    /// Whether it was more than headers with a status.
    pub(crate) fn has_started(&self) -> bool {
        self.has_started
    }

    /// How the reply ended.
    pub(crate) fn status(&mut self) -> Result<(), RpcError> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        from_reply(self.http, &self.headers, &self.trailers)?;
        if self.received.is_empty() {
            return Ok(());
        }
        let cut = Status::internal("the reply ends within its message");
        Err(RpcError::new(StatusSource::BadReply, cut))
    }

    /// Why there are no more messages of a reply that has no end.
    pub(crate) fn ended(&mut self) -> RpcError {
        let ended = Status::unavailable("the server ended the stream");
        self.status().err().unwrap_or(RpcError::new(StatusSource::ConnectionLost, ended))
    }
}

/// The first message of what was received, once it is whole.
fn take_message(received: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some((prefix, rest)) = received.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(None);
    };
    let Prefix { flags, length } = Prefix::decode(*prefix);
    if flags != 0 {
        return Err(Status::internal("the reply is compressed, which was not asked for"));
    }
    let length = length as usize;
    if length > MAX_REPLY_BYTES {
        let problem = format!("the reply is over {MAX_REPLY_BYTES} bytes");
        return Err(Status::resource_exhausted(problem));
    }
    if rest.len() < length {
        return Ok(None);
    }
    received.advance(PREFIX_BYTES);
    Ok(Some(received.split_to(length).freeze()))
}

fn decode<Reply: Message + Default>(message: Bytes) -> Result<Reply, RpcError> {
    Reply::decode(message).map_err(|error| {
        let problem = format!("the reply cannot be decoded: {error}");
        RpcError::new(StatusSource::BadReply, Status::internal(problem))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(received: &[u8]) -> Result<Option<Bytes>, tonic::Code> {
        take_message(&mut BytesMut::from(received)).map_err(|status| status.code())
    }

    #[test]
    fn message_is_decoded_once_complete() {
        let whole = b"\0\0\0\0\x03\x0a\x01Arest";
        for length in 0..8 {
            assert_eq!(taken(&whole[..length]), Ok(None), "{length} bytes");
        }
        assert_eq!(taken(whole), Ok(Some(Bytes::from_static(b"\x0a\x01A"))));
        assert_eq!(taken(b"\0\0\0\0\0"), Ok(Some(Bytes::new())));
        assert_eq!(taken(b"\x01\0\0\0\0"), Err(tonic::Code::Internal), "compressed");
    }

    #[test]
    fn reply_over_size_limit_is_rejected() {
        let announced =
            |bytes: usize| Prefix { flags: 0, length: u32::try_from(bytes).unwrap() }.encode();
        assert_eq!(taken(&announced(MAX_REPLY_BYTES)), Ok(None));
        assert_eq!(taken(&announced(MAX_REPLY_BYTES + 1)), Err(tonic::Code::ResourceExhausted));
    }
}
