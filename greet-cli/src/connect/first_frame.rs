//! Reports the first frame of a server. The h2 handshake completes before the server has sent anything;
//! but only a server whose SETTINGS have arrived (RFC 9113, section 3.4) is connected.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

const FRAME_HEADER_BYTES: usize = 9;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// SETTINGS_MAX_FRAME_SIZE before any SETTINGS: no first frame is longer.
const MAX_FIRST_FRAME_BYTES: usize = 16_384;

/// What arrived first.
#[derive(Debug)]
pub(crate) enum FirstInput {
    /// The payload of a whole SETTINGS frame.
    Settings(Vec<u8>),
    /// The payload of a whole GOAWAY frame.
    GoAway(Vec<u8>),
    /// Bytes that are something else, or all there was.
    Other(Vec<u8>),
    /// The stream below broke before any of that.
    Broken(io::Error),
}

/// A stream that reports its first frame, once, and is transparent otherwise.
#[derive(Debug)]
pub(crate) struct FirstFrame<IO> {
    io: IO,
    listening: Option<(oneshot::Sender<FirstInput>, Vec<u8>)>,
}

impl<IO> FirstFrame<IO> {
    /// The receiver fails if the stream ends without a word.
    pub(crate) fn new(io: IO) -> (FirstFrame<IO>, oneshot::Receiver<FirstInput>) {
        let (sender, receiver) = oneshot::channel();
        (FirstFrame { io, listening: Some((sender, Vec::new())) }, receiver)
    }

    fn inspect(&mut self, bytes: &[u8]) {
        let Some((sender, mut received)) = self.listening.take() else {
            return;
        };
        received.extend_from_slice(bytes);
        match parse(&received) {
            Some(heard) => drop(sender.send(heard)), // an error: the deadline has passed meanwhile
            None => self.listening = Some((sender, received)),
        }
    }

    fn report_error(&mut self, error: &io::Error) {
        if let Some((sender, received)) = self.listening.take() {
            drop(sender.send(if received.is_empty() {
                FirstInput::Broken(clone_error(error))
            } else {
                FirstInput::Other(received)
            }));
        }
    }
}

impl<IO: AsyncRead + Unpin> FirstFrame<IO> {
    /// Passes on what came of a write. If the peer takes no more, what it said before it hung up, such
    /// as a TLS alert, may still be on its way through the kernel, and nobody would read it once the
    /// error is passed on: it is heard out first.
    fn drain_after_error<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let mut scratch = [0; 1_024];
        while matches!(written, Poll::Ready(Err(_))) && self.listening.is_some() {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut *self).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => break,
            }
        }
        written
    }
}

/// The stream is over: what was heard of a first frame until then is all there is.
impl<IO> Drop for FirstFrame<IO> {
    fn drop(&mut self) {
        if let Some((sender, received)) = self.listening.take()
            && !received.is_empty()
        {
            drop(sender.send(FirstInput::Other(received)));
        }
    }
}

/// Copies an error that h2 receives as well, with the TLS error inside it.
fn clone_error(error: &io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(inner) => io::Error::new(error.kind(), inner.clone()),
        None => error.kind().into(),
    }
}

fn parse(received: &[u8]) -> Option<FirstInput> {
    if received.starts_with(b"HTTP/") {
        return None; // the rest of the head follows; h2 closes the connection after it
    }
    if is_tls(received) {
        return Some(FirstInput::Other(received.to_vec()));
    }
    let Some([high, middle, low, kind, ..]) = received.get(..FRAME_HEADER_BYTES) else {
        return None;
    };
    let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
    if !matches!(*kind, SETTINGS | GOAWAY) || length > MAX_FIRST_FRAME_BYTES {
        return Some(FirstInput::Other(received.to_vec()));
    }
    let payload = received.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + length)?.to_vec();
    Some(if *kind == GOAWAY { FirstInput::GoAway(payload) } else { FirstInput::Settings(payload) })
}

/// The head of a TLS record (RFC 8446, section 5.1) with an alert, which is shorter than a frame's.
pub(crate) fn is_tls(received: &[u8]) -> bool {
    matches!(received, [21 | 22, 3, 0..=4, ..])
}

impl<IO: AsyncRead + Unpin> AsyncRead for FirstFrame<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        match &read {
            Ok(()) => self.inspect(&buf.filled()[before..]),
            Err(error) => self.report_error(error),
        }
        Poll::Ready(read)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for FirstFrame<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.drain_after_error(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.drain_after_error(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.drain_after_error(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_frame_is_recognised_once_complete() {
        let whole = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_none(), "{length} bytes");
        }
        let Some(FirstInput::Settings(settings)) = parse(&whole) else {
            panic!("those are SETTINGS");
        };
        assert_eq!(settings, [0, 3, 0, 0, 0, 100]);
    }

    #[test]
    fn other_bytes_are_kept_for_message() {
        let Some(FirstInput::Other(bytes)) = parse(b"SSH-2.0-OpenSSH_10.0\r\n") else {
            panic!("that is not HTTP/2");
        };
        assert_eq!(bytes, b"SSH-2.0-OpenSSH_10.0\r\n");
    }
}
