//! A reply's bytes on their way to HTTP/2: they count as a call in flight until their end, and a
//! stream among them ends when its time is over or the daemon drains.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as _, Frame};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;

use super::call_record::CallRecord;
use super::deadline::Deadline;
use super::in_flight::{InFlight, TrackedChunk};
use super::stall::StallDetector;
use super::web::Encoding;
use crate::lifecycle::phase::Phase;

/// The body of a reply.
#[derive(Default)]
pub(crate) struct ResponseBody {
    inner: Source,
    call: Option<Rc<InFlight>>,
    /// Of a reply over gRPC-Web.
    encoding: Option<Encoding>,
    /// Of a reply that streams.
    end: Option<(StreamEnd, StallDetector)>,
}

/// Where its frames come from.
#[derive(Default)]
enum Source {
    /// What was generated for the method.
    Generated(Body),
    /// One message, and then that all is well.
    Message(Bytes),
    Trailers,
    #[default]
    Over,
}

/// Completes with the status that ends a stream which has nothing more to say.
pub(super) type StreamEnd = Pin<Box<dyn Future<Output = Status>>>;

/// A stream is over at its deadline; and when the drain begins, because a stream that waits for
/// news (a health Watch) would hold it up until the peer happens to leave.
pub(super) fn stream_end(deadline: Deadline, mut phase: watch::Receiver<Phase>) -> StreamEnd {
    Box::pin(async move {
        tokio::select! {
            status = deadline.passed() => status,
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => {
                Status::unavailable("the server is draining")
            }
        }
    })
}

impl ResponseBody {
    pub(super) fn new(body: Body) -> ResponseBody {
        ResponseBody { inner: Source::Generated(body), ..ResponseBody::default() }
    }

    /// A reply of one message, with its prefix, and the status OK.
    pub(super) fn whole(message: Bytes) -> ResponseBody {
        ResponseBody { inner: Source::Message(message), ..ResponseBody::default() }
    }

    /// A reply that goes on until `end`, or until it has nothing more to say.
    pub(super) fn streaming(self, end: StreamEnd, stall: StallDetector) -> ResponseBody {
        stall.sent(); // its head
        ResponseBody { end: Some((end, stall)), ..self }
    }

    /// As gRPC-Web has it, if there is an encoding.
    pub(super) fn encoded(self, encoding: Option<Encoding>) -> ResponseBody {
        ResponseBody { encoding, ..self }
    }

    /// The call is in flight until this body has ended.
    pub(super) fn counting(self, call: Rc<InFlight>) -> ResponseBody {
        if self.inner.is_end_stream() {
            call.replied(); // headers alone are the whole reply, and nobody polls for more
        }
        if let (Source::Message(_), Some(record)) = (&self.inner, call.record()) {
            record.ends_well(); // its trailers are ours
        }
        ResponseBody { call: Some(call), ..self }
    }

    /// Replaces what would have come by the trailers of `status`.
    fn end_with(&mut self, status: Status) -> Frame<Bytes> {
        self.inner = Source::Over;
        self.end = None;
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            debug_assert!(false, "a status of our own fits into headers");
        }
        Frame::trailers(trailers)
    }
}

impl http_body::Body for ResponseBody {
    type Data = TrackedChunk;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<TrackedChunk>, Status>>> {
        let frame = match (self.inner.poll_frame(cx), &mut self.end) {
            (Poll::Ready(frame), _) => frame,
            (Poll::Pending, None) => return Poll::Pending,
            (Poll::Pending, Some((end, stall))) => match end.as_mut().poll(cx) {
                Poll::Ready(status) => Some(Ok(self.end_with(status))),
                Poll::Pending => {
                    stall.idle();
                    return Poll::Pending;
                }
            },
        };
        if let Some((_, stall)) = &self.end {
            stall.sent();
        }
        if let (None | Some(Ok(_)), Some(call)) = (&frame, &self.call) {
            let is_data = matches!(&frame, Some(Ok(frame)) if frame.is_data());
            if !is_data || self.inner.is_end_stream() {
                call.replied();
            }
        }
        if let (Some(Ok(frame)), Some(record)) =
            (&frame, self.call.as_ref().and_then(|call| call.record()))
        {
            note(frame, record);
        }
        let frame = match self.encoding {
            Some(encoding) => frame.map(|frame| frame.map(|frame| encoding.encode(frame))),
            None => frame,
        };
        let call = self.call.clone();
        Poll::Ready(
            frame.map(|frame| frame.map(|it| it.map_data(|bytes| TrackedChunk { bytes, call }))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

fn note(frame: &Frame<Bytes>, record: &CallRecord) {
    if let Some(data) = frame.data_ref() {
        record.sent(data);
    } else if let (Some(trailers), false) = (frame.trailers_ref(), record.has_ended()) {
        record.may_end_with(trailers);
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let (frame, rest) = match self {
            Source::Generated(body) => return Pin::new(body).poll_frame(cx),
            Source::Message(message) => (Frame::data(std::mem::take(message)), Source::Trailers),
            Source::Trailers => (Frame::trailers(all_is_well()), Source::Over),
            Source::Over => return Poll::Ready(None),
        };
        *self = rest;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Source::Generated(body) => body.is_end_stream(),
            Source::Message(_) | Source::Trailers => false,
            Source::Over => true,
        }
    }
}

fn all_is_well() -> HeaderMap {
    HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))])
}
