//! The HTTP/2 stage: sends the preface and waits for the server's SETTINGS. The first bytes
//! identify any other reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::FutureExt as _;
use h2::client::{Builder, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_util::io::{InspectReader, InspectWriter};

use super::excerpt;
use super::first_frame::{FirstFrameReporter, Http2HandshakeError, Settings, is_tls};
use super::goaway_on_drop::GoawayOnDrop;
use crate::error::ConnectError;
use crate::format::HumanDuration;

/// Flow-control windows of a call and of the connection. Replies are small.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Maximum size of headers or trailers; other clients allow as much or less.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

pub(super) async fn handshake<IO>(
    io: IO,
    deadline: Instant,
) -> Result<(SendRequest<Bytes>, Settings), Http2HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let started = Instant::now();
    let (io, first_frame) = FirstFrameReporter::new(io);
    let (io, is_http2) = GoawayOnDrop::new(io);
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES);
    let sender = match builder.handshake(io).await {
        Ok((sender, connection)) => {
            tokio::spawn(connection.map(drop)); // its calls return its errors
            Some(sender)
        }
        Err(_) => None, // the first frame has the reason
    };
    match timeout_at(deadline, first_frame).await {
        Ok(first_frame) => {
            let settings = first_frame.unwrap_or(Err(Http2HandshakeError::Closed))?;
            is_http2.store(true, Ordering::Relaxed);
            Ok((sender.ok_or(Http2HandshakeError::Closed)?, settings))
        }
        Err(_elapsed) => Err(Http2HandshakeError::Elapsed(started.elapsed())),
    }
}

impl Http2HandshakeError {
    pub(super) fn into_connect_error(self, peer: &str) -> ConnectError {
        let peer = peer.to_owned();
        match self {
            Http2HandshakeError::GoAway(payload) => {
                ConnectError::GoAwayBeforeSettings { peer, reason: goaway(&payload) }
            }
            Http2HandshakeError::Other(bytes)
                if is_tls(&bytes) || excerpt::mentions_https(&bytes) =>
            {
                ConnectError::ExpectsTls { peer }
            }
            Http2HandshakeError::Other(bytes) => match excerpt::http1(&bytes) {
                Some(received) => ConnectError::Http1 { peer, received },
                None => ConnectError::NotHttp2 { peer, received: excerpt::first_line(&bytes) },
            },
            Http2HandshakeError::Closed | Http2HandshakeError::Broken(_) => {
                ConnectError::ClosedBeforeSettings { peer }
            }
            Http2HandshakeError::Elapsed(after) => {
                ConnectError::NoSettings { peer, after: HumanDuration(after).to_string() }
            }
        }
    }
}

/// Formats the error code of a GOAWAY and its debug data, if any (RFC 9113, section 6.8).
fn goaway(payload: &[u8]) -> String {
    let Some((&[_, _, _, _, code @ ..], debug_data)) = payload.split_first_chunk::<8>() else {
        return "no reason".to_owned();
    };
    let code = h2::Reason::from(u32::from_be_bytes(code));
    match debug_data {
        [] => format!("{code:?}"),
        debug_data => format!("{code:?} {}", excerpt::first_line(debug_data)),
    }
}

/// The byte counters of all connections of a client.
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

    /// Wraps a stream whose bytes are counted.
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
}
