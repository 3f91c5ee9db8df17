//! Reports the first frame of a server. The handshake of h2 completes before the server has sent
//! anything, but only a server whose SETTINGS have arrived (RFC 9113, section 3.4) is connected.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

const FRAME_HEADER_BYTES: usize = 9;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// SETTINGS_MAX_FRAME_SIZE before any SETTINGS: no first frame is longer.
const MAX_FIRST_FRAME_BYTES: usize = 16_384;

/// The reason that no SETTINGS arrived.
#[derive(Debug)]
pub(super) enum Http2HandshakeError {
    /// A GOAWAY frame with this payload.
    GoAway(Vec<u8>),
    /// Bytes that are not HTTP/2, or not a complete frame.
    Other(Vec<u8>),
    /// An error of the stream below, before any byte.
    Broken(io::Error),
    /// The end of the stream, before any byte.
    Closed,
    /// No frame by the deadline, after this time.
    Elapsed(Duration),
}

type FirstFrame = Result<Settings, Http2HandshakeError>;

/// A transparent stream that reports its first frame.
#[derive(Debug)]
pub(super) struct FirstFrameReporter<IO> {
    io: IO,
    /// The receiver of the report and the bytes received so far, until the report.
    pending: Option<(oneshot::Sender<FirstFrame>, Vec<u8>)>,
}

impl<IO> FirstFrameReporter<IO> {
    pub(super) fn new(io: IO) -> (FirstFrameReporter<IO>, oneshot::Receiver<FirstFrame>) {
        let (sender, receiver) = oneshot::channel();
        (FirstFrameReporter { io, pending: Some((sender, Vec::new())) }, receiver)
    }

    fn inspect(&mut self, bytes: &[u8]) {
        if let Some((sender, mut received)) = self.pending.take() {
            received.extend_from_slice(bytes);
            match parse(&received) {
                Some(first_frame) => drop(sender.send(first_frame)),
                None => self.pending = Some((sender, received)),
            }
        }
    }

    /// Reports the end of the stream before a complete frame.
    fn report_end(&mut self, reason: Http2HandshakeError) {
        if let Some((sender, received)) = self.pending.take() {
            let is_empty = received.is_empty();
            let reason = if is_empty { reason } else { Http2HandshakeError::Other(received) };
            drop(sender.send(Err(reason)));
        }
    }
}

impl<IO> Drop for FirstFrameReporter<IO> {
    fn drop(&mut self) {
        self.report_end(Http2HandshakeError::Closed);
    }
}

impl<IO: AsyncRead + Unpin> FirstFrameReporter<IO> {
    /// Reads to the end before it returns a write error: the server may have sent a reason, such as
    /// a TLS alert, before it closed the connection, and h2 does not read after a write error.
    fn drain_after_error<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let mut scratch = [0; 1_024];
        while matches!(written, Poll::Ready(Err(_))) && self.pending.is_some() {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut *self).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => break,
            }
        }
        written
    }
}

/// Copies an error, which h2 receives as well, with the TLS error inside.
fn clone_error(error: &io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => io::Error::new(error.kind(), inner.clone()),
        None => error.kind().into(),
    }
}

fn parse(received: &[u8]) -> Option<FirstFrame> {
    if received.starts_with(b"HTTP/") {
        return None; // the rest of the head follows; h2 closes the connection after it
    }
    let other = || Some(Err(Http2HandshakeError::Other(received.to_vec())));
    if is_tls(received) {
        return other();
    }
    let Some([high, middle, low, kind, ..]) = received.get(..FRAME_HEADER_BYTES) else {
        return None;
    };
    let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
    if !matches!(*kind, SETTINGS | GOAWAY) || length > MAX_FIRST_FRAME_BYTES {
        return other();
    }
    let payload = received.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + length)?;
    Some(match *kind {
        SETTINGS => Ok(Settings::parse(payload)),
        _ => Err(Http2HandshakeError::GoAway(payload.to_vec())),
    })
}

/// Returns whether these bytes are a TLS record (RFC 8446, section 5.1) with an alert or a
/// handshake; an alert is shorter than the header of a frame.
pub(super) fn is_tls(received: &[u8]) -> bool {
    matches!(received, [21 | 22, 3, 0..=4, ..])
}

impl<IO: AsyncRead + Unpin> AsyncRead for FirstFrameReporter<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        match &read {
            Ok(()) => self.inspect(&buf.filled()[before..]),
            Err(error) => self.report_end(Http2HandshakeError::Broken(clone_error(error))),
        }
        Poll::Ready(read)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for FirstFrameReporter<IO> {
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

/// The identifiers and values of a SETTINGS frame, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings(Vec<(u16, u32)>);

impl Settings {
    fn parse(payload: &[u8]) -> Settings {
        let (settings, _) = payload.as_chunks::<6>();
        let setting = |&[id0, id1, a, b, c, d]: &[u8; 6]| {
            (u16::from_be_bytes([id0, id1]), u32::from_be_bytes([a, b, c, d]))
        };
        Settings(settings.iter().map(setting).collect())
    }

    /// Returns the settings with their registered names in lower case; others keep their number.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_frame_is_recognised_once_complete() {
        let whole = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_none(), "{length} bytes");
        }
        assert_eq!(parse(&whole).unwrap().unwrap(), Settings(vec![(3, 100)]));
    }

    #[test]
    fn other_bytes_are_kept_for_message() {
        let ssh = b"SSH-2.0-OpenSSH_10.0\r\n";
        let Some(Err(Http2HandshakeError::Other(bytes))) = parse(ssh) else {
            panic!("that is not HTTP/2");
        };
        assert_eq!(bytes, ssh);
    }

    #[test]
    fn settings_are_named_and_partial_setting_is_ignored() {
        let settings = Settings::parse(&[0, 3, 0, 0, 0, 200, 0xf0, 1, 0, 0, 1, 0, 0, 4]);
        let named: Vec<_> = settings.named().collect();
        assert_eq!(
            named,
            [("max_concurrent_streams".to_owned(), 200), ("setting_61441".to_owned(), 256)]
        );
    }
}
