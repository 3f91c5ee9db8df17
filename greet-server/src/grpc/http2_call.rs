//! Answers a call on its HTTP/2 stream.
//!
//! Most calls of unary methods have arrived whole and finish at their first poll. So a call is not a
//! task at first: it runs in place, and the replies of all calls in one read leave in one write. A
//! call that has to wait becomes a task.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Buf as _;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use tokio::task::{coop, spawn_local};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::call::{Call, Route, Router};
use super::connection_state::ConnectionState;
use super::generated;
use super::inbox::{InboxBody, StreamReset, inbox};
use super::memory::{CALL_BYTES, ConnectionMemory, GENERATED_CALL_BYTES, header_bytes};
use super::reply::Reply;
use super::response_body::ResponseBody;
use super::sent_replies::{ReplyBytes, SentReplies, SentReply};
use super::unary::UnaryCall;

/// Time without any progress after which a stream is reset that waits for its peer to open the
/// flow-control window. Equal to the default keepalive timeout.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// A request that HTTP/2 has accepted.
type Accepted = (Request<RecvStream>, SendResponse<ReplyBytes>);

/// The calls of one connection.
pub(crate) struct Http2Calls {
    router: Rc<Router>,
    connection: Rc<ConnectionState>,
    sent: Rc<SentReplies>,
}

/// The sending side of a call.
struct Responder {
    call: Call,
    respond: SendResponse<ReplyBytes>,
    sent: Rc<SentReplies>,
}

impl Http2Calls {
    pub(crate) fn new(
        router: Rc<Router>,
        connection: Rc<ConnectionState>,
        sent: Rc<SentReplies>,
    ) -> Http2Calls {
        Http2Calls { router, connection, sent }
    }

    pub(crate) fn connection(&self) -> &ConnectionState {
        &self.connection
    }

    /// Answers a call in place if it can be, otherwise on a task.
    pub(crate) fn start(&self, (request, respond): Accepted, arrived: Instant) {
        let (mut head, body) = request.into_parts();
        let (call, route) = self.router.accept(&self.connection, &mut head, arrived);
        let responder = Responder { call, respond, sent: self.sent.clone() };
        match route {
            Err(reply) => responder.send(reply, None),
            Ok(route) => responder.run(route, head, body),
        }
    }
}

impl Responder {
    fn run(self, route: Route, head: Parts, body: RecvStream) {
        let served = self.call.served(&route);
        let is_fast = !route.has_encoding && self.call.web.is_none();
        let Some(handler) = served.unary.as_ref().filter(|_| is_fast) else {
            if !self.call.memory().admits_waiting_call() {
                return self.send(Reply::status(out_of_memory()), Some(&route));
            }
            let (body, fill) = inbox(body, self.call.memory());
            let request = Request::from_parts(head, body);
            return drop(spawn_local(self.run_generated(route, request, fill)));
        };
        let metadata = MetadataMap::from_headers(head.headers);
        let request = tonic::Request::from_parts(metadata, head.extensions, ());
        let mut unary = UnaryCall::new(request, body, self.call.scanner(&route));
        // The no-op waker is enough: a pending call is polled again as a task.
        let mut cx = Context::from_waker(Waker::noop());
        let start = |request| self.call.start_unary(&route, handler, request);
        let result = match unary.poll_start(start, &mut cx) {
            Poll::Ready(Ok(Ok(()))) => unary.poll_reply(&mut cx),
            Poll::Ready(Ok(Err(status))) => Poll::Ready(Err(status)),
            Poll::Ready(Err(StreamReset)) => return,
            Poll::Pending => Poll::Pending,
        };
        if unary.has_started() || result.is_ready() {
            record_request(&self.call, &unary);
        }
        match result {
            Poll::Ready(result) => self.finish_unary(result, &route),
            // A handler that has started may have had effects, so its call is not refused.
            Poll::Pending
                if unary.has_started() && !self.call.is_delayed()
                    || self.call.memory().admits_waiting_call() =>
            {
                unary.count_memory(self.call.memory());
                drop(spawn_local(self.run_unary(unary, route)));
            }
            Poll::Pending => self.send(Reply::status(out_of_memory()), Some(&route)),
        }
    }

    async fn run_unary(mut self, mut unary: UnaryCall, route: Route) {
        if let Ok(result) = self.wait_for_reply(&mut unary, &route).await {
            self.finish_unary(result, &route);
        }
    }

    /// Waits for the request, and then for the handler.
    async fn wait_for_reply(
        &mut self,
        unary: &mut UnaryCall,
        route: &Route,
    ) -> Result<Result<Reply, Status>, StreamReset> {
        let (call, respond) = (&self.call, &mut self.respond);
        if !unary.has_started() {
            let handler = call.served(route).unary.as_ref().expect("the call is on the fast path");
            let started = poll_fn(|cx| match respond.poll_reset(cx) {
                Poll::Ready(_) => Poll::Ready(Err(StreamReset)),
                Poll::Pending => {
                    unary.poll_start(|request| call.start_unary(route, handler, request), cx)
                }
            });
            let started = call.arrived(route, started).await;
            record_request(call, unary);
            match started {
                Ok(started) => {
                    if let Err(status) = started? {
                        return Ok(Err(status));
                    }
                }
                Err(exceeded) => return Ok(Err(exceeded)),
            }
        }
        let reply = poll_fn(|cx| match respond.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(Err(StreamReset)),
            Poll::Pending => unary.poll_reply(cx).map(Ok),
        });
        match route.head.timeout(reply).await {
            Ok(reply) => reply,
            Err(exceeded) => Ok(Err(exceeded)),
        }
    }

    fn finish_unary(mut self, result: Result<Reply, Status>, route: &Route) {
        if result.is_err() && self.call.in_flight.is_reset() {
            return self.reset();
        }
        self.send(result.unwrap_or_else(Reply::status), Some(route));
    }

    /// Resets the stream in place of a reply, as an injected fault asks.
    fn reset(&mut self) {
        self.respond.send_reset(Reason::INTERNAL_ERROR);
    }

    /// Sends a whole reply. If the peer has reset the stream, the call ends here.
    fn send(mut self, reply: Reply, route: Option<&Route>) {
        let call = &self.call;
        if let Some(record) = call.record() {
            reply.record(record, call.state());
        }
        let (template, web) = (&call.state().template, call.web.as_deref());
        let bytes = reply.bytes();
        if let Ok(stream) = reply.send(template, web, &mut self.respond, &call.in_flight) {
            let expires_at = call.expires_at(route);
            self.sent(stream, bytes, expires_at);
        }
    }

    /// Keeps the call in flight until HTTP/2 has written its reply.
    fn sent(
        self,
        stream: Option<SendStream<ReplyBytes>>,
        bytes: usize,
        expires_at: Option<Instant>,
    ) {
        let expires_at = expires_at.unwrap_or_else(|| Instant::now() + STALL_TIMEOUT);
        let call = self.call.in_flight;
        self.sent.push(SentReply { call, bytes, expires_at, stream });
    }

    /// Answers with the generated service, which reads the request and writes the response as it
    /// likes. Returns early, and so drops the handler, if the peer resets the stream.
    async fn run_generated(
        mut self,
        route: Route,
        request: Request<InboxBody>,
        _fill: AbortOnDropHandle<()>,
    ) {
        let memory = self.call.memory().clone();
        let call_bytes = CALL_BYTES + GENERATED_CALL_BYTES + header_bytes(request.headers());
        let _held = memory.hold(call_bytes);
        let respond = &mut self.respond;
        let response = tokio::select! {
            biased;
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
            response = generated::respond(&self.call, route, request) => response,
        };
        if self.call.in_flight.is_reset() {
            return self.reset();
        }
        let expires_at = self.call.expires_at(Some(&route));
        let sent = send_response(response, respond, expires_at, &memory).await;
        if let Ok((stream, last_bytes)) = sent {
            self.sent(Some(stream), last_bytes, expires_at);
        }
    }
}

/// Records what has arrived of the request of a call on the fast path: once, before the handler can wait,
/// because a call that is cancelled ends without a further step.
fn record_request(call: &Call, unary: &UnaryCall) {
    if let Some(record) = call.record() {
        record.received(call.state(), unary.scanner());
    }
}

/// Returns the status of a call that would have to wait, on a connection whose calls hold much already.
fn out_of_memory() -> Status {
    Status::resource_exhausted("the server is at its memory limit")
}

/// Sends a response as the peer opens the window, one message ahead at most. Returns the stream, and the
/// size of the last message.
async fn send_response(
    response: Response<ResponseBody>,
    respond: &mut SendResponse<ReplyBytes>,
    expires_at: Option<Instant>,
    memory: &Arc<ConnectionMemory>,
) -> Result<(SendStream<ReplyBytes>, usize), StreamReset> {
    let mut held = memory.hold(0);
    let mut last_bytes = 0;
    let (head, mut body) = response.into_parts();
    let mut is_end = body.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(head, ()), is_end)?;
    while !is_end {
        match next_frame(&mut body, &mut stream, expires_at).await?.map(Frame::into_data) {
            Some(Ok(data)) => {
                is_end = body.is_end_stream();
                last_bytes = data.remaining();
                held.set(last_bytes);
                stream.send_data(data, is_end)?;
            }
            Some(Err(trailers)) => {
                is_end = true;
                stream.send_trailers(trailers.into_trailers().unwrap_or_default())?;
            }
            None => {
                is_end = true;
                stream.send_data(body.no_bytes(), true)?;
            }
        }
        coop::consume_budget().await; // a stream that is always ready lets others run
    }
    Ok((stream, last_bytes))
}

/// Waits until the peer opens the window, then returns the next frame; trailers need no window.
async fn next_frame(
    body: &mut ResponseBody,
    stream: &mut SendStream<ReplyBytes>,
    expires_at: Option<Instant>,
) -> Result<Option<Frame<ReplyBytes>>, StreamReset> {
    stream.reserve_capacity(1);
    let has_capacity = poll_fn(|cx| {
        while stream.capacity() == 0 {
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(StreamReset)),
            }
        }
        Poll::Ready(Ok(()))
    });
    // The end, too, because a closed window must not delay it.
    let ended = poll_fn(|cx| body.poll_end(cx));
    let stalled_at = Instant::now() + STALL_TIMEOUT;
    let reset_at = expires_at.map_or(stalled_at, |expires_at| expires_at.min(stalled_at));
    tokio::select! {
        biased;
        capacity = has_capacity => capacity?,
        trailers = ended => return Ok(Some(trailers)),
        () = sleep_until(reset_at) => {
            stream.send_reset(Reason::CANCEL);
            return Err(StreamReset);
        }
    }
    poll_fn(|cx| {
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
            return Poll::Ready(Ok(frame.map(|Ok(frame)| frame)));
        }
        stream.poll_reset(cx).map(|_reason| Err(StreamReset))
    })
    .await
}
