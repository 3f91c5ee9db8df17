//! The fast path of unary methods: one message in, one message out, neither compressed.
//!
//! A generated service handles streams and compression, with a buffer of 8 KiB for each direction
//! and about twenty allocations a call. A greeting is 17 bytes. A test compares the responses of
//! both paths.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use greet_proto::framing;
use greet_proto::service::HandlerFuture;
use h2::RecvStream;
use prost::Message;
use tonic::{Request, Status};

use super::inbox::{Chunks, StreamReset};
use super::message_scanner::MessageScanner;
use super::reply::Reply;

/// A handler as a function from an encoded message to a reply, which hides its types.
pub(crate) type UnaryHandler = Box<dyn Fn(Request<Chunks>) -> UnaryFuture>;

type UnaryFuture = Pin<Box<dyn Future<Output = Result<Reply, Status>>>>;

/// Wraps `call` of `implementation`.
pub(super) fn handler<T, Req, Res>(
    implementation: Arc<T>,
    call: for<'a> fn(&'a T, Request<Req>) -> HandlerFuture<'a, Res>,
) -> UnaryHandler
where
    T: Send + Sync + 'static,
    Req: Message + Default + 'static,
    Res: Message + 'static,
{
    let implementation = Rc::new(implementation); // cloned per call, without an atomic operation
    Box::new(move |request| {
        let implementation = implementation.clone();
        let request = decode(request);
        Box::pin(async move {
            let response = call(&implementation, request?).await?;
            let (metadata, message, _extensions) = response.into_parts();
            Ok(Reply::message(metadata.into_headers(), framing::frame(&message).into()))
        })
    })
}

/// Decodes a message with its prefix.
fn decode<Req: Message + Default>(request: Request<Chunks>) -> Result<Request<Req>, Status> {
    let (metadata, extensions, mut message) = request.into_parts();
    match message.chunk().first() {
        Some(0) => {}
        Some(1) => {
            return Err(Status::internal(
                "protocol error: received message with compressed-flag but no grpc-encoding was specified",
            ));
        }
        flag => {
            let flag = flag.copied().unwrap_or_default();
            return Err(Status::internal(format!(
                "protocol error: received message with invalid compression flag: {flag} (valid flags are 0 and 1), while sending request"
            )));
        }
    }
    let decoded = match message.whole() {
        Some(bytes) => Req::decode(&bytes[framing::PREFIX_BYTES..]),
        None => {
            message.advance(framing::PREFIX_BYTES);
            Req::decode(message)
        }
    };
    let decoded = decoded.map_err(|error| Status::internal(error.to_string()))?;
    Ok(Request::from_parts(metadata, extensions, decoded))
}

/// A call on the fast path: reads its message, then runs the handler.
pub(super) struct UnaryCall {
    body: RecvStream,
    scanner: MessageScanner,
    received: Chunks,
    /// `None` once the handler has it.
    request: Option<Request<()>>,
    running: Option<UnaryFuture>,
}

impl UnaryCall {
    pub(super) fn new(request: Request<()>, body: RecvStream, scanner: MessageScanner) -> Self {
        let (received, request) = (Chunks::default(), Some(request));
        UnaryCall { body, scanner, received, request, running: None }
    }

    /// Completes with the result of the handler. A panic fails this call only; the connection and
    /// its other calls continue.
    ///
    /// # Errors
    /// The peer has reset the stream.
    pub(super) fn poll(
        &mut self,
        handler: &UnaryHandler,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<Reply, Status>, StreamReset>> {
        if self.running.is_none() {
            if let Err(status) = ready!(self.poll_message(cx))? {
                return Poll::Ready(Ok(Err(status)));
            }
            let message = std::mem::take(&mut self.received);
            let request = self.request.take().expect("the handler starts once");
            self.running = Some(handler(request.map(|()| message)));
        }
        let running = self.running.as_mut().expect("the handler has started");
        let polled = panic::catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
        Poll::Ready(Ok(match polled {
            Ok(polled) => ready!(polled),
            Err(payload) => Err(panicked(payload)),
        }))
    }

    /// Completes when the request is read to its end.
    fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<(), Status>, StreamReset>> {
        loop {
            let ended = match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => {
                    if let Err(status) = self.scanner.scan(&data) {
                        return Poll::Ready(Ok(Err(status)));
                    }
                    let ended = self.body.is_end_stream();
                    if ended && !self.received.has_remaining() {
                        self.received = Chunks::from(data);
                    } else {
                        // At once: a window held back until the message is whole would stop the
                        // peer as soon as the connection has more calls than room for messages.
                        let _ = self.body.flow_control().release_capacity(data.len());
                        self.received.push(data);
                    }
                    ended
                }
                Some(Err(_reset)) => return Poll::Ready(Err(StreamReset)),
                None => true,
            };
            if ended {
                return Poll::Ready(Ok(self.scanner.check_end()));
            }
        }
    }

    /// Returns the position in the request.
    pub(super) fn scanner(&self) -> &MessageScanner {
        &self.scanner
    }
}

/// Returns INTERNAL; the panic hook logs the payload.
pub(super) fn panicked(_payload: Box<dyn Any + Send>) -> Status {
    Status::internal("the handler failed")
}
