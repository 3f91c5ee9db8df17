//! Holds the received bytes of a request until its handler reads them.
//!
//! A DATA frame is a slice of HTTP/2's read buffer, and keeps all of it in memory. So frames are
//! taken from HTTP/2 as soon as they arrive, and copied: a stream then holds at most its flow-control
//! window, however small its frames are. Large frames are copied as well: while they are kept, HTTP/2
//! cannot use its buffer again, and page faults cost more than the copy.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use h2::{FlowControl, RecvStream};
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::task::spawn_local;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::memory::{ConnectionMemory, Held};

/// The peer has reset the stream, or the connection has failed.
#[derive(Debug)]
pub(super) struct StreamReset;

impl From<h2::Error> for StreamReset {
    fn from(_: h2::Error) -> StreamReset {
        StreamReset
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
#[derive(Debug)]
struct Inbox(Mutex<InboxState>);

#[derive(Debug)]
struct InboxState {
    data: BytesMut,
    held: Held,
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

    /// Takes the request from HTTP/2 as it arrives.
    async fn fill(&self, mut stream: RecvStream) -> Result<(), h2::Error> {
        while let Some(data) = poll_fn(|cx| stream.poll_data(cx)).await {
            let data = data?;
            self.update(|state| {
                state.data.extend_from_slice(&data);
                state.held.set(state.data.capacity());
            });
        }
        let trailers = poll_fn(|cx| stream.poll_trailers(cx)).await?;
        self.update(|state| {
            state.trailers = trailers;
            state.is_ended = true;
        });
        Ok(())
    }
}

/// Returns the body for the service, and the task that fills it from `stream`.
///
/// HTTP/2 closes a connection with too many small frames that nothing has taken. The task of the call
/// may be late to take them: if another thread has woken it, such as with a result for the handler, tokio
/// prefers the tasks that this thread wakes, and so the further turns of the connection. Only this thread
/// wakes the task that fills the body, and it runs between two turns.
pub(super) fn inbox(
    mut stream: RecvStream,
    memory: &Arc<ConnectionMemory>,
) -> (InboxBody, AbortOnDropHandle<()>) {
    let inbox = Arc::new(Inbox(Mutex::new(InboxState {
        data: BytesMut::new(),
        held: memory.hold(0),
        trailers: None,
        is_ended: false,
        reader: None,
    })));
    let body = InboxBody { inbox: inbox.clone(), flow_control: stream.flow_control().clone() };
    let fill = async move {
        let _ = inbox.fill(stream).await; // the call sees a reset on its sending side
    };
    (body, AbortOnDropHandle::new(spawn_local(fill)))
}

impl Body for InboxBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut state = self.inbox.lock();
        if state.data.is_empty() {
            if let Some(trailers) = state.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if state.is_ended {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let data = state.data.split().freeze();
        state.held.set(0);
        drop(state);
        let _ = self.flow_control.release_capacity(data.len()); // fails after the end of the stream
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.inbox.lock();
        state.is_ended && state.trailers.is_none() && state.data.is_empty()
    }
}
