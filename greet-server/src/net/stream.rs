//! Wraps the stream that hyper serves on: replays the bytes that the handshake read, and counts bytes and
//! flushes in the connection's state.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::grpc::connection_state::ConnectionState;

#[derive(Debug)]
pub(crate) struct Stream<IO> {
    first_bytes: Bytes,
    io: IO,
    connection: Rc<ConnectionState>,
}

impl<IO> Stream<IO> {
    pub(crate) fn new(first_bytes: Bytes, io: IO, connection: Rc<ConnectionState>) -> Self {
        Stream { first_bytes, io, connection }
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.connection.moved(*bytes);
        }
        written
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Stream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first_bytes.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
            self.connection.moved(buf.filled().len() - before);
            return Poll::Ready(Ok(()));
        }
        let length = self.first_bytes.len().min(buf.remaining());
        buf.put_slice(&self.first_bytes[..length]);
        self.first_bytes.advance(length);
        if self.first_bytes.is_empty() {
            self.first_bytes = Bytes::new(); // frees the buffer, which an idle connection would keep
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Stream<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.connection.flushed(); // HTTP/2 flushes when its own buffer is empty
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
