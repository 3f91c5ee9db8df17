//! Passes a response to HTTP/2: the call is in flight until the end of the body, and a stream ends
//! at its deadline or when the drain begins.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as _, Frame};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;

use super::deadline::Deadline;
use super::in_flight::{InFlight, TrackedChunk};
use super::stall::StallDetector;
use super::web::Encoding;
use crate::lifecycle::phase::Phase;

/// The body of a response.
#[derive(Default)]
pub(crate) struct ResponseBody {
    source: Source,
    call: Option<Rc<InFlight>>,
    /// `None` for a call that is not gRPC-Web.
    encoding: Option<Encoding>,
    /// `None` for a unary method.
    end: Option<(StreamEnd, StallDetector)>,
}

/// The source of the frames that remain.
#[derive(Default)]
enum Source {
    /// The body of a generated service.
    Generated(Body),
    /// One message, then the trailers.
    Message(Bytes),
    /// The trailers, with the status OK.
    Trailers,
    #[default]
    End,
}

/// Completes with the status that ends a stream.
pub(super) type StreamEnd = Pin<Box<dyn Future<Output = Status>>>;

/// Ends a stream at its deadline, or when the drain begins: an idle stream (a health Watch) would
/// delay the drain until the peer leaves.
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
        ResponseBody { source: Source::Generated(body), ..ResponseBody::default() }
    }

    /// Creates the body of a unary response with the status OK; `message` includes the prefix.
    pub(super) fn unary(message: Bytes) -> ResponseBody {
        ResponseBody { source: Source::Message(message), ..ResponseBody::default() }
    }

    /// Ends the body at `end` at the latest.
    pub(super) fn streaming(self, end: StreamEnd, stall: StallDetector) -> ResponseBody {
        stall.sent(); // the head
        ResponseBody { end: Some((end, stall)), ..self }
    }

    /// Encodes the body for gRPC-Web.
    pub(super) fn encoded(self, encoding: Option<Encoding>) -> ResponseBody {
        ResponseBody { encoding, ..self }
    }

    /// Keeps the call in flight until the end of the body.
    pub(super) fn tracking(self, call: Rc<InFlight>) -> ResponseBody {
        if self.source.is_end_stream() {
            call.answered(); // the headers are the whole response; HTTP/2 does not poll the body
        }
        if let (Source::Message(_), Some(record)) = (&self.source, call.record()) {
            record.set_ok();
        }
        ResponseBody { call: Some(call), ..self }
    }

    /// Replaces the rest of the body by the trailers of `status`.
    fn end_with(&mut self, status: Status) -> Frame<Bytes> {
        self.source = Source::End;
        self.end = None;
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            debug_assert!(false, "the message of the status is a valid header value");
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
        let frame = match (self.source.poll_frame(cx), &mut self.end) {
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
            if !is_data || self.source.is_end_stream() {
                call.answered();
            }
        }
        if let Some(Ok(frame)) = &frame
            && let Some(record) = self.call.as_ref().and_then(|call| call.record())
        {
            frame.data_ref().inspect(|data| record.sent(data));
            frame.trailers_ref().inspect(|trailers| record.set_status(trailers));
        }
        let frame = match self.encoding {
            Some(encoding) => frame.map(|frame| frame.map(|frame| encoding.encode(frame))),
            None => frame,
        };
        let call = self.call.clone();
        let track = |bytes| TrackedChunk { bytes, call };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(track))))
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let (frame, rest) = match self {
            Source::Generated(body) => return Pin::new(body).poll_frame(cx),
            Source::Message(message) => (Frame::data(std::mem::take(message)), Source::Trailers),
            Source::Trailers => (Frame::trailers(ok_trailers()), Source::End),
            Source::End => return Poll::Ready(None),
        };
        *self = rest;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Source::Generated(body) => body.is_end_stream(),
            Source::Message(_) | Source::Trailers => false,
            Source::End => true,
        }
    }
}

fn ok_trailers() -> HeaderMap {
    HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))])
}
