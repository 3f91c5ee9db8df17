//! Passes the request to a generated service: whole messages, validated and counted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tonic::Status;

use super::gzip;
use super::memory::{ConnectionMemory, Held};
use super::message_scanner::MessageScanner;
use crate::telemetry::metrics::worker::WorkerMetrics;

/// The body of a request. An error is the status of the call.
pub(super) struct RequestBody<B> {
    inner: B,
    scanner: MessageScanner,
    /// The limit of a message after decompression; `None` without compression.
    gzip_limit: Option<usize>,
    /// The received bytes of an incomplete message.
    buffer: BytesMut,
    /// The only message of a request, until the service reads it.
    arrived: Option<Bytes>,
    /// What the buffers hold, and what the service has read last, which it decodes meanwhile.
    held: Held,
    read: Option<ReadCounter>,
}

/// Counts what a generated service reads. Its request must be `Send`, so the counts are atomic.
pub(super) struct ReadCounter {
    pub(super) metrics: Arc<WorkerMetrics>,
    pub(super) method: usize,
    pub(super) payload_bytes: Arc<AtomicU64>,
}

impl<B> RequestBody<B> {
    pub(super) fn new(
        inner: B,
        scanner: MessageScanner,
        gzip_limit: Option<usize>,
        read: Option<ReadCounter>,
        memory: &Arc<ConnectionMemory>,
    ) -> Self {
        let (buffer, held) = (BytesMut::new(), memory.hold(0));
        RequestBody { inner, scanner, gzip_limit, buffer, arrived: None, held, read }
    }

    /// Validates `data` and returns the whole messages received so far, or `None` within a message.
    fn accept(&mut self, data: Bytes) -> Result<Option<Bytes>, Status> {
        let known_messages = self.scanner.messages();
        self.scanner.scan(&data)?;
        if let Some(read) = &self.read {
            let messages = self.scanner.messages() - known_messages;
            read.metrics.calls.messages_received(read.method, messages);
            let payload_bytes = self.scanner.payload_bytes() as u64;
            read.payload_bytes.store(payload_bytes, Ordering::Relaxed);
        }
        if self.buffer.is_empty() && self.scanner.is_at_boundary() {
            self.held.set(data.len());
            return Ok(Some(data)); // not split, so not copied
        }
        self.buffer.extend_from_slice(&data);
        self.held.set(self.buffer.capacity());
        Ok(self.scanner.is_at_boundary().then(|| std::mem::take(&mut self.buffer).freeze()))
    }
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> RequestBody<B> {
    /// Waits until the request has ended, if it has one message.
    ///
    /// # Errors
    /// The status of a request that is not valid.
    pub(super) async fn arrived(&mut self) -> Result<(), Status> {
        let mut message = None;
        while let Some(frame) = self.frame().await.transpose()? {
            message = message.or(frame.into_data().ok());
        }
        self.arrived = message;
        Ok(())
    }
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(message) = self.arrived.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        loop {
            let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx)?);
            match frame.map(Frame::into_data) {
                Some(Ok(data)) => {
                    if let Some(mut messages) = self.accept(data)? {
                        if let Some(limit) = self.gzip_limit {
                            messages = gzip::decompress(messages, limit)?;
                            self.held.set(messages.len());
                        }
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

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;
    use crate::grpc::memory::MemoryLimit;

    #[tokio::test]
    async fn codec_receives_whole_messages_however_they_are_split() {
        let memory = MemoryLimit::new(u64::MAX, 1).lease().connection().0;
        let sent = [&[0, 0, 0, 0, 200][..], &[b'x'; 200]].concat();
        for size in [1, 4, 5, 6, 100, 204, 205] {
            let chunks =
                sent.chunks(size).map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk))));
            let inner = StreamBody::new(futures_util::stream::iter(chunks.collect::<Vec<_>>()));
            let mut body =
                RequestBody::new(inner, MessageScanner::new(false, 200), None, None, &memory);
            let message = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(message, sent, "in chunks of {size}");
            assert!(body.frame().await.is_none());
        }
    }
}
