//! Wraps the stream of a connection for HTTP/2 and HTTP/1.1: replays the bytes that the handshake
//! read, limits how much is read at a time, and notes what has been read, written and flushed.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::http2::frame_heads::FrameHeads;
use crate::grpc::connection_state::ConnectionState;

/// Larger writes are not withheld: waiting would save no system call, and the next reply can use the
/// memory of a large one while it is in the processor's cache.
const MAX_WITHHELD_BYTES: usize = 8 * 1_024;

#[derive(Debug)]
pub(super) struct ConnectionIo<IO> {
    first_bytes: Bytes,
    io: IO,
    connection: Rc<ConnectionState>,
    state: Rc<IoState>,
}

/// What the connection knows of its stream, which the HTTP library owns.
#[derive(Debug, Default)]
pub(super) struct IoState {
    /// What may be read until the next turn; `None` without a limit.
    readable: Cell<Option<Readable>>,
    has_withheld_read: Cell<bool>,
    is_read_pending: Cell<bool>,
    withholds_writes: Cell<bool>,
    has_withheld_write: Cell<bool>,
    is_flushed: Cell<bool>,
    write_blocked_since: Cell<Option<Instant>>,
    /// Whether writes are announced as vectored. HTTP/2 asks at the handshake which DATA frames to
    /// copy into its write buffer, and later how to write.
    is_write_vectored: Cell<bool>,
    /// `None` for HTTP/1.1.
    frame_heads: RefCell<Option<FrameHeads>>,
}

/// What a connection may read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readable {
    pub(super) bytes: usize,
    pub(super) frames: u64,
}

impl IoState {
    pub(super) fn for_http2() -> Rc<IoState> {
        let state = IoState::default();
        state.frame_heads.replace(Some(FrameHeads::default()));
        Rc::new(state)
    }

    pub(super) fn allow_vectored_writes(&self) {
        self.is_write_vectored.set(true);
    }

    /// Allows reads until one reaches a limit of `readable`.
    pub(super) fn allow_read(&self, readable: Readable) {
        self.readable.set(Some(readable));
        self.has_withheld_read.set(false);
    }

    /// Returns whether a read was refused since the last [`IoState::allow_read`]. Such a read
    /// registers no waker.
    pub(super) fn has_withheld_read(&self) -> bool {
        self.has_withheld_read.get()
    }

    /// Returns whether the last read found nothing: then HTTP/2 has handled all complete frames. It
    /// stops earlier if it cannot write, such as the acknowledgement of a PING.
    pub(super) fn is_read_pending(&self) -> bool {
        self.is_read_pending.get()
    }

    /// Refuses small writes as a blocked socket does, but registers no waker.
    pub(super) fn withhold_writes(&self) {
        self.withholds_writes.set(true);
    }

    /// Allows writes again. Returns whether one was refused.
    pub(super) fn allow_writes(&self) -> bool {
        self.withholds_writes.set(false);
        self.has_withheld_write.replace(false)
    }

    /// Returns whether the kernel has all bytes that were written.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_flushed.get()
    }

    /// Returns how long the peer has not accepted any byte although there are some to write.
    pub(super) fn write_blocked_for(&self) -> Duration {
        self.write_blocked_since.get().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Returns the number of requests whose header block has been read.
    pub(super) fn requests_read(&self) -> u64 {
        self.frame_heads.borrow().as_ref().map_or(0, FrameHeads::requests)
    }

    /// Returns the bytes of a header block that has not ended.
    pub(super) fn header_block_bytes(&self) -> usize {
        self.frame_heads.borrow().as_ref().map_or(0, FrameHeads::header_block_bytes)
    }

    /// Returns whether the peer has reduced its header table to the size of our SETTINGS.
    pub(super) fn is_header_table_reduced(&self) -> bool {
        self.frame_heads.borrow().as_ref().is_some_and(FrameHeads::is_header_table_reduced)
    }

    /// Returns the control frames that have been read since the last call.
    pub(super) fn take_control_frames(&self) -> u64 {
        self.frame_heads.borrow_mut().as_mut().map_or(0, FrameHeads::take_control_frames)
    }

    /// Returns whether the next read has to wait for the next turn.
    fn withholds_read(&self) -> bool {
        let readable = self.readable.get();
        let withholds = readable.is_some_and(|left| left.bytes == 0 || left.frames == 0);
        if withholds {
            self.has_withheld_read.set(true);
        }
        withholds
    }

    fn read(&self, bytes: &[u8]) {
        let mut frame_heads = self.frame_heads.borrow_mut();
        let frames = frame_heads.as_mut().map_or(0, |heads| heads.skip_frames(bytes));
        let readable = self.readable.get().map(|left| Readable {
            bytes: left.bytes.saturating_sub(bytes.len()),
            frames: left.frames.saturating_sub(frames),
        });
        self.readable.set(readable);
    }
}

impl<IO> ConnectionIo<IO> {
    pub(super) fn new(
        first_bytes: Bytes,
        io: IO,
        connection: Rc<ConnectionState>,
        state: Rc<IoState>,
    ) -> Self {
        ConnectionIo { first_bytes, io, connection, state }
    }

    /// Returns whether a write of this size has to wait.
    fn withholds_write(&self, bytes: usize) -> bool {
        let withholds = self.state.withholds_writes.get() && bytes <= MAX_WITHHELD_BYTES;
        if withholds {
            self.state.has_withheld_write.set(true);
            self.state.is_flushed.set(false);
        }
        withholds
    }

    fn written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.state.is_flushed.set(false);
        match &written {
            Poll::Ready(Ok(bytes)) => {
                self.connection.add_written(*bytes);
                self.state.write_blocked_since.set(None);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let since = self.state.write_blocked_since.get().unwrap_or_else(Instant::now);
                self.state.write_blocked_since.set(Some(since));
            }
        }
        written
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ConnectionIo<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.state.is_read_pending.set(true);
        if self.state.withholds_read() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let max_bytes = self.state.readable.get().map_or(usize::MAX, |readable| readable.bytes);
        if self.first_bytes.is_empty() && max_bytes < buf.remaining() {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(max_bytes));
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
            let length = part.filled().len();
            buf.advance(length);
        } else if self.first_bytes.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        } else {
            let length = self.first_bytes.len().min(buf.remaining());
            buf.put_slice(&self.first_bytes[..length]);
            self.first_bytes.advance(length);
            if self.first_bytes.is_empty() {
                self.first_bytes = Bytes::new(); // frees the buffer, which an idle connection would keep
            }
        }
        let read = &buf.filled()[before..];
        self.state.is_read_pending.set(read.is_empty());
        self.connection.add_read(read.len());
        self.state.read(read);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for ConnectionIo<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.withholds_write(buf.len()) {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.withholds_write(bufs.iter().map(|buf| buf.len()).sum()) {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.state.is_write_vectored.get() && self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.state.is_flushed.set(true);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
