//! The last stage of connecting: our preface, then the server's SETTINGS. What comes instead is told
//! apart from its first bytes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::FutureExt as _;
use h2::client::{Builder, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_util::io::{InspectReader, InspectWriter};

use super::excerpt;
use super::first_frame::{FirstFrame, FirstInput, is_tls};
use crate::error::ConnectError;

/// What a server may send ahead of what we read, for a call and in all: replies are small.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Of headers or trailers together; other clients take as much or less.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// No SETTINGS came. What did?
#[derive(Debug)]
pub(super) enum Http2HandshakeError {
    /// The payload of a GOAWAY.
    GoAway(Vec<u8>),
    /// These bytes, and they are no HTTP/2.
    Other(Vec<u8>),
    /// An error of what is below.
    Broken(io::Error),
    /// The end.
    Closed,
    /// Nothing, for so long.
    Elapsed(Duration),
}

/// Sends the preface and waits for the server's SETTINGS.
pub(super) async fn begin<IO>(
    io: IO,
    deadline: Instant,
) -> Result<(SendRequest<Bytes>, Settings), Http2HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let started = Instant::now();
    let (io, first_frame) = FirstFrame::new(io);
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES);
    let sender = match builder.handshake(io).await {
        Ok((sender, connection)) => {
            tokio::spawn(connection.map(drop)); // how it ends is told by the calls on it
            Some(sender)
        }
        Err(_) => None, // what was heard until then says why
    };
    match timeout_at(deadline, first_frame).await {
        Ok(Ok(FirstInput::Settings(payload))) => {
            Ok((sender.ok_or(Http2HandshakeError::Closed)?, Settings::read(&payload)))
        }
        Ok(Ok(FirstInput::GoAway(payload))) => Err(Http2HandshakeError::GoAway(payload)),
        Ok(Ok(FirstInput::Other(bytes))) => Err(Http2HandshakeError::Other(bytes)),
        Ok(Ok(FirstInput::Broken(error))) => Err(Http2HandshakeError::Broken(error)),
        Ok(Err(_dropped)) => Err(Http2HandshakeError::Closed),
        Err(_elapsed) => Err(Http2HandshakeError::Elapsed(Instant::now() - started)),
    }
}

impl Http2HandshakeError {
    /// What is wrong with `peer`.
    pub(super) fn into_connect_error(self, peer: &str) -> ConnectError {
        let peer = peer.to_owned();
        match self {
            Http2HandshakeError::GoAway(payload) => {
                ConnectError::GoAwayBeforeSettings { peer, reason: goaway(&payload) }
            }
            Http2HandshakeError::Other(bytes)
                if is_tls(&bytes) || excerpt::mentions_https(&bytes) =>
            {
                ConnectError::SpeaksTls { peer }
            }
            Http2HandshakeError::Other(bytes) => match excerpt::http1(&bytes) {
                Some(heard) => ConnectError::SpeaksHttp1 { peer, heard },
                None => ConnectError::NotHttp2 { peer, heard: excerpt::first_line(&bytes) },
            },
            Http2HandshakeError::Closed | Http2HandshakeError::Broken(_) => {
                ConnectError::ClosedBeforeSettings { peer }
            }
            Http2HandshakeError::Elapsed(after) => ConnectError::NoSettings { peer, after },
        }
    }
}

/// The reason in a GOAWAY, and the words that may follow it (RFC 9113, section 6.8).
fn goaway(payload: &[u8]) -> String {
    let Some((&[_, _, _, _, reason @ ..], words)) = payload.split_first_chunk::<8>() else {
        return "no reason".to_owned();
    };
    let reason = h2::Reason::from(u32::from_be_bytes(reason));
    match words {
        [] => format!("{reason:?}"),
        words => format!("{reason:?} {}", excerpt::first_line(words)),
    }
}

/// Identifier and value, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings(Vec<(u16, u32)>);

impl Settings {
    pub(crate) fn read(payload: &[u8]) -> Settings {
        let (settings, _) = payload.as_chunks::<6>();
        let setting = |&[id0, id1, a, b, c, d]: &[u8; 6]| {
            (u16::from_be_bytes([id0, id1]), u32::from_be_bytes([a, b, c, d]))
        };
        Settings(settings.iter().map(setting).collect())
    }

    /// Their published names in lower case; one that nobody knows keeps its number.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, u32)> {
        self.0.iter().map(|(id, value)| {
            let name = match id {
                1 => "header_table_size",
                2 => "enable_push",
                3 => "max_concurrent_streams",
                4 => "initial_window_size",
                5 => "max_frame_size",
                6 => "max_header_list_size",
                8 => "enable_connect_protocol",
                _ => return (format!("setting_{id}"), *value),
            };
            (name.to_owned(), *value)
        })
    }
}

/// The bytes of all connections of a client.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
    /// Returns the bytes sent and received.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    /// Returns a stream whose bytes are counted.
    pub(super) fn count<IO>(self: &Arc<Self>, io: IO) -> impl AsyncRead + AsyncWrite + use<IO>
    where
        IO: AsyncRead + AsyncWrite,
    {
        let (sent, received) = (Arc::clone(self), Arc::clone(self));
        let io = InspectWriter::new(io, move |bytes: &[u8]| {
            sent.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        });
        InspectReader::new(io, move |bytes| {
            received.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goaway_reason_and_debug_data_are_shown() {
        assert_eq!(goaway(&[0, 0, 0, 0, 0, 0, 0, 11]), "ENHANCE_YOUR_CALM");
        assert_eq!(goaway(b"\0\0\0\0\0\0\0\0max_age"), "NO_ERROR \"max_age\"");
        assert_eq!(goaway(&[]), "no reason");
    }

    #[test]
    fn settings_are_named_and_partial_setting_is_ignored() {
        let settings = Settings::read(&[0, 3, 0, 0, 0, 200, 0xf0, 1, 0, 0, 1, 0, 0, 4]);
        let named: Vec<_> = settings.named().collect();
        assert_eq!(
            named,
            [("max_concurrent_streams".to_owned(), 200), ("setting_61441".to_owned(), 256)]
        );
    }
}
