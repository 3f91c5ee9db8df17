//! Sends GOAWAY when a connection is dropped with calls in flight. The client of h2 sends it only
//! without any, and else resets each call, which a server counts as an attack (CVE-2023-44487).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// GOAWAY with NO_ERROR; the server has opened no stream (RFC 9113, section 6.8).
const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A transparent stream of HTTP/2 frames that ends with a GOAWAY.
#[derive(Debug)]
pub(super) struct GoawayOnDrop<IO: AsyncWrite + Unpin> {
    io: IO,
    /// Whether the peer uses HTTP/2.
    is_http2: Arc<AtomicBool>,
    /// Whether the last frame was written as a whole: h2 flushes after it.
    is_flushed: bool,
    /// Whether h2 has closed the connection, after its own GOAWAY.
    is_shut_down: bool,
}

impl<IO: AsyncWrite + Unpin> GoawayOnDrop<IO> {
    /// Returns the stream and a flag to set when the peer's SETTINGS have arrived.
    pub(super) fn new(io: IO) -> (GoawayOnDrop<IO>, Arc<AtomicBool>) {
        let is_http2 = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&is_http2);
        (GoawayOnDrop { io, is_http2, is_flushed: false, is_shut_down: false }, flag)
    }
}

impl<IO: AsyncWrite + Unpin> Drop for GoawayOnDrop<IO> {
    fn drop(&mut self) {
        if !self.is_http2.load(Ordering::Relaxed) || !self.is_flushed || self.is_shut_down {
            return;
        }
        // Nothing can wait here. A kernel without room for a few bytes drops the GOAWAY, and the end
        // of the stream alone shows the server that the calls are cancelled.
        let cx = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(_)) = Pin::new(&mut self.io).poll_write(cx, &GOAWAY) {
            let _ = Pin::new(&mut self.io).poll_flush(cx);
            let _ = Pin::new(&mut self.io).poll_shutdown(cx);
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for GoawayOnDrop<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for GoawayOnDrop<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_flushed = false;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_flushed = false;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.is_flushed |= matches!(flushed, Poll::Ready(Ok(())));
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut_down = true;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
