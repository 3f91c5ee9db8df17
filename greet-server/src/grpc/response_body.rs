//! Passes on the response of a generated service: it is counted, encoded for gRPC-Web, and a stream
//! ends at its deadline or when the drain begins.

use std::convert::Infallible;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;

use super::call::{Call, Router};
use super::deadline::Deadline;
use super::in_flight::InFlight;
use super::method::AtDrain;
use super::response_headers::strip_connection_headers;
use super::sent_replies::ReplyBytes;
use super::unary::panicked;
use super::web::Encoding;
use crate::lifecycle::phase::Phase;

pub(crate) struct ResponseBody {
    body: Body,
    router: Rc<Router>,
    call: Rc<InFlight>,
    /// `None` for a call that is not gRPC-Web.
    encoding: Option<Encoding>,
    /// `None` for a unary method.
    end: Option<StreamEnd>,
    /// The status after the last message, once the end is due.
    last_status: Option<Status>,
}

/// Completes with the status that ends a stream.
pub(super) type StreamEnd = Pin<Box<dyn Future<Output = Status>>>;

/// Completes at the deadline, or when the drain begins if the method ends then.
pub(super) fn stream_end(
    deadline: Deadline,
    at_drain: AtDrain,
    mut phase: watch::Receiver<Phase>,
) -> StreamEnd {
    Box::pin(async move {
        let drain = async {
            match at_drain {
                AtDrain::End => drop(phase.wait_for(|phase| *phase >= Phase::Draining).await),
                AtDrain::Finish => std::future::pending().await,
            }
        };
        tokio::select! {
            status = deadline.passed() => status,
            () = drain => Status::unavailable("the server is draining"),
        }
    })
}

impl ResponseBody {
    pub(super) fn new(
        body: Body,
        call: &Call,
        encoding: Option<Encoding>,
        end: Option<StreamEnd>,
    ) -> ResponseBody {
        let (router, call) = (call.router.clone(), call.in_flight.clone());
        ResponseBody { body, router, call, encoding, end, last_status: None }
    }

    /// Returns the data frame that ends a body without trailers.
    pub(super) fn no_bytes(&self) -> ReplyBytes {
        ReplyBytes::new(Bytes::new(), &self.call)
    }

    /// Completes with the trailers if the stream has to end. The rest of the body is dropped.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Frame<ReplyBytes>> {
        let status = ready!(self.poll_last_status(cx));
        let trailers = self.end_with(status);
        Poll::Ready(self.sent(trailers))
    }

    fn poll_last_status(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        if let Some(status) = self.last_status.take() {
            return Poll::Ready(status);
        }
        match &mut self.end {
            Some(end) => end.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Returns the next frame of the body, or the trailers of a failure. A panic of the handler's
    /// stream fails this call only.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        let body = Pin::new(&mut self.body);
        match panic::catch_unwind(AssertUnwindSafe(|| body.poll_frame(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(None)) => Poll::Ready(None),
            Ok(Poll::Ready(Some(Ok(frame)))) => Poll::Ready(Some(frame)),
            Ok(Poll::Ready(Some(Err(status)))) => Poll::Ready(Some(self.end_with(status))),
            Err(payload) => Poll::Ready(Some(self.end_with(panicked(payload)))),
        }
    }

    /// Replaces the rest of the body by the trailers of `status`.
    fn end_with(&mut self, status: Status) -> Frame<Bytes> {
        self.body = Body::empty();
        self.end = None;
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            debug_assert!(false, "the message of the status is a valid header value");
        }
        Frame::trailers(trailers)
    }

    /// Counts and encodes a frame.
    fn sent(&self, mut frame: Frame<Bytes>) -> Frame<ReplyBytes> {
        if let Some(trailers) = frame.trailers_mut() {
            strip_connection_headers(trailers);
        }
        if frame.is_data() {
            self.call.message_sent();
        }
        if let Some(record) = self.call.record() {
            frame.data_ref().inspect(|data| record.sent(&self.router.state, data));
            frame.trailers_ref().inspect(|trailers| record.set_status(trailers));
        }
        let frame = match self.encoding {
            Some(encoding) => encoding.encode(frame),
            None => frame,
        };
        frame.map_data(|bytes| ReplyBytes::new(bytes, &self.call))
    }
}

impl http_body::Body for ResponseBody {
    type Data = ReplyBytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<ReplyBytes>, Infallible>>> {
        // The end first: a handler that always has a message would hide it. At the end, one message
        // that is ready still goes out, such as the NOT_SERVING of a Watch in a drain.
        let is_last = self.last_status.is_some();
        let status = self.poll_last_status(cx);
        let frame = match (self.poll_body(cx), status) {
            (Poll::Ready(Some(frame)), Poll::Ready(status)) if frame.is_data() && !is_last => {
                self.last_status = Some(status);
                Some(frame)
            }
            (_, Poll::Ready(status)) => Some(self.end_with(status)),
            (Poll::Ready(frame), Poll::Pending) => frame,
            (Poll::Pending, Poll::Pending) => return Poll::Pending,
        };
        Poll::Ready(frame.map(|frame| Ok(self.sent(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
