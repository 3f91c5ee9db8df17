//! Holds the received bytes of a request until its handler reads them.
//!
//! A DATA frame is a slice of HTTP/2's read buffer, and keeps all of it in memory. So frames are
//! taken from HTTP/2 as soon as they arrive, and small ones are copied: a stream then holds at most
//! its flow-control window, however small its frames are.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use h2::{FlowControl, RecvStream};
use http::HeaderMap;
use http_body::{Body, Frame};
use tonic::Status;

/// Frames below this size are copied. A frame that is kept holds a read buffer of 8 to 16 KiB.
const MIN_KEPT_FRAME_BYTES: usize = 4_096;

/// The peer has reset the stream, or the connection has failed.
#[derive(Debug)]
pub(super) struct StreamReset;

impl From<h2::Error> for StreamReset {
    fn from(_: h2::Error) -> StreamReset {
        StreamReset
    }
}

/// Received bytes in as few pieces as possible without copying large ones.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// Empty only if `rest` has no pieces.
    head: Bytes,
    /// `None` for one frame, as most messages are.
    rest: Option<Box<Rest>>,
}

#[derive(Debug, Default)]
struct Rest {
    pieces: VecDeque<Bytes>,
    /// The copies of the small frames since the last piece.
    tail: BytesMut,
}

impl From<Bytes> for Chunks {
    fn from(head: Bytes) -> Chunks {
        Chunks { head, rest: None }
    }
}

impl Chunks {
    /// Returns all bytes if they are in one piece.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        self.rest.is_none().then_some(&self.head)
    }

    /// Appends a frame.
    pub(super) fn push(&mut self, data: Bytes) {
        let rest = self.rest.get_or_insert_default();
        if data.len() < MIN_KEPT_FRAME_BYTES {
            rest.tail.extend_from_slice(&data);
            return;
        }
        for piece in [rest.tail.split().freeze(), data] {
            if self.head.is_empty() {
                self.head = piece;
            } else if !piece.is_empty() {
                rest.pieces.push_back(piece);
            }
        }
    }

    /// Removes the first piece, if there is any.
    fn pop(&mut self) -> Option<Bytes> {
        let next = self.next_piece();
        let piece = match std::mem::replace(&mut self.head, next) {
            head if head.is_empty() => self.rest.as_mut()?.tail.split().freeze(),
            head => head,
        };
        (!piece.is_empty()).then_some(piece)
    }

    fn next_piece(&mut self) -> Bytes {
        self.rest.as_mut().and_then(|rest| rest.pieces.pop_front()).unwrap_or_default()
    }
}

impl Buf for Chunks {
    fn remaining(&self) -> usize {
        let rest =
            |rest: &Rest| rest.pieces.iter().map(Bytes::len).sum::<usize>() + rest.tail.len();
        self.head.len() + self.rest.as_deref().map_or(0, rest)
    }

    fn chunk(&self) -> &[u8] {
        match &self.rest {
            Some(rest) if self.head.is_empty() => &rest.tail,
            _ => &self.head,
        }
    }

    fn advance(&mut self, mut count: usize) {
        while count >= self.head.len() && !self.head.is_empty() {
            count -= self.head.len();
            self.head = self.next_piece();
        }
        match &mut self.rest {
            Some(rest) if self.head.is_empty() => rest.tail.advance(count),
            _ => self.head.advance(count),
        }
    }
}

/// The request body of a generated service on an HTTP/2 stream.
///
/// The window of the stream opens again as the service reads: a handler that does not read stops
/// its peer.
pub(super) struct InboxBody {
    inbox: Arc<Inbox>,
    flow_control: FlowControl,
}

/// The receiving side. The future of a generated service must be `Send`, so it is behind a lock,
/// which only the thread of the worker takes.
#[derive(Debug, Default)]
struct Inbox(Mutex<InboxState>);

#[derive(Debug, Default)]
struct InboxState {
    chunks: Chunks,
    trailers: Option<HeaderMap>,
    is_ended: bool,
    reader: Option<Waker>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut InboxState)) {
        let mut state = self.lock();
        change(&mut state);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

/// Returns the body for the service, and the future that fills it from `stream`: it completes only
/// if the peer resets the stream.
pub(super) fn inbox(
    mut stream: RecvStream,
) -> (InboxBody, impl Future<Output = Result<Infallible, StreamReset>>) {
    let inbox = Arc::<Inbox>::default();
    let body = InboxBody { inbox: inbox.clone(), flow_control: stream.flow_control().clone() };
    let fill = async move {
        while let Some(data) = poll_fn(|cx| stream.poll_data(cx)).await {
            let data = data?;
            inbox.update(|state| state.chunks.push(data));
        }
        let trailers = poll_fn(|cx| stream.poll_trailers(cx)).await?;
        inbox.update(|state| {
            state.trailers = trailers;
            state.is_ended = true;
        });
        std::future::pending().await
    };
    (body, fill)
}

impl Body for InboxBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut state = self.inbox.lock();
        let Some(data) = state.chunks.pop() else {
            if let Some(trailers) = state.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if state.is_ended {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        drop(state);
        let _ = self.flow_control.release_capacity(data.len()); // fails after the end of the stream
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.inbox.lock();
        state.is_ended && state.trailers.is_none() && !state.chunks.has_remaining()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_their_order_whatever_the_sizes() {
        let sizes = [1, 5_000, 3, 4_095, 4_096, 4_097, 2, 2];
        let frames = || sizes.iter().zip(b'a'..).map(|(size, byte)| Bytes::from(vec![byte; *size]));
        let sent: Vec<u8> = frames().flatten().collect();

        let mut chunks = Chunks::default();
        frames().for_each(|frame| chunks.push(frame));
        assert_eq!(chunks.remaining(), sent.len());
        assert_eq!(chunks.copy_to_bytes(sent.len()), sent);

        frames().for_each(|frame| chunks.push(frame));
        chunks.advance(5_002);
        let received: Vec<u8> = std::iter::from_fn(|| chunks.pop()).flatten().collect();
        assert_eq!(received, sent[5_002..]);
    }

    #[test]
    fn small_frames_do_not_keep_their_read_buffer() {
        let read_buffer = Bytes::from(vec![0; 8 * 1_024]);
        let mut chunks = Chunks::default();
        chunks.push(read_buffer.slice(..MIN_KEPT_FRAME_BYTES - 1));
        assert!(read_buffer.is_unique());
        chunks.push(read_buffer.slice(..MIN_KEPT_FRAME_BYTES));
        assert!(!read_buffer.is_unique());
    }
}
