//! Counts the bytes of HTTP/2 that the connections of a client carry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::{InspectReader, InspectWriter};

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
