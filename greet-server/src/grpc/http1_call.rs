//! Answers the calls of an HTTP/1.1 connection, all of them gRPC-Web, with the generated service.

use std::cell::Cell;
use std::convert::Infallible;
use std::future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::Status;

use super::call::Router;
use super::connection_state::ConnectionState;
use super::generated;
use super::in_flight::InFlight;
use super::memory::{CALL_BYTES, GENERATED_CALL_BYTES, header_bytes};
use super::response_body::ResponseBody;
use super::sent_replies::{ReplyBytes, SentReplies, SentReply};
use crate::telemetry::metrics::close_reason::CloseReason;

/// The calls of one connection, one at a time.
pub(crate) struct Http1Calls {
    router: Rc<Router>,
    connection: Rc<ConnectionState>,
    sent: Rc<SentReplies>,
    /// When the peer must have read the current reply; `None` for a stream without a deadline.
    expires_at: Cell<Option<Instant>>,
}

impl Http1Calls {
    pub(crate) fn new(
        router: Rc<Router>,
        connection: Rc<ConnectionState>,
        sent: Rc<SentReplies>,
    ) -> Http1Calls {
        Http1Calls { router, connection, sent, expires_at: Cell::new(None) }
    }

    /// Returns whether the peer has had its time to read the reply.
    pub(crate) fn is_expired(&self) -> bool {
        let expired = self.expires_at.get().is_some_and(|expires_at| Instant::now() >= expires_at);
        expired && !self.connection.is_idle()
    }

    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Http1Body>, Infallible> {
        let (mut head, body) = request.into_parts();
        let (call, route) = self.router.accept(&self.connection, &mut head, Instant::now());
        self.expires_at.set(call.expires_at(route.as_ref().ok()));
        let response = match route {
            Ok(route) => {
                let call_bytes = CALL_BYTES + GENERATED_CALL_BYTES + header_bytes(&head.headers);
                let _held = call.memory().hold(call_bytes);
                let body = body.map_err(unreadable as fn(hyper::Error) -> Status);
                generated::respond(&call, route, Request::from_parts(head, body)).await
            }
            Err(reply) => generated::whole(&call, reply),
        };
        if call.in_flight.is_reset() {
            call.memory().close(CloseReason::FaultInjected); // HTTP/1.1 has no reset of one call
            return future::pending().await;
        }
        let (call, sent) = (call.in_flight, self.sent.clone());
        Ok(response.map(|body| {
            let mut body = Http1Body { body, sent, call: Some(call) };
            body.end_at_last_frame();
            body
        }))
    }
}

/// Returns the status of a request whose body is malformed or incomplete.
fn unreadable(error: hyper::Error) -> Status {
    Status::internal(format!("the request body cannot be read: {error}"))
}

/// A response that is sent once hyper has taken its last frame and flushed.
pub(crate) struct Http1Body {
    body: ResponseBody,
    sent: Rc<SentReplies>,
    /// `None` after the last frame.
    call: Option<Rc<InFlight>>,
}

impl Http1Body {
    fn end(&mut self) {
        if let Some(call) = self.call.take() {
            self.sent.push(SentReply { call, bytes: 0, expires_at: Instant::now(), stream: None });
        }
    }

    /// Ends the call if the frames so far, or the headers alone, are the whole response.
    fn end_at_last_frame(&mut self) {
        if self.body.is_end_stream() {
            self.end();
        }
    }
}

impl http_body::Body for Http1Body {
    type Data = ReplyBytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<ReplyBytes>, Infallible>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(_)) => self.end_at_last_frame(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
