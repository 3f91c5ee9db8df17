//! The fast path of unary methods: one message in, one message out, neither compressed.
//!
//! A generated service handles streams and compression, with a buffer of 8 KiB for each direction
//! and about twenty allocations a call. Most messages are small. A test compares the responses of
//! both paths.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use greet_proto::framing;
use greet_proto::service::HandlerFuture;
use h2::RecvStream;
use prost::Message;
use tonic::{Request, Status};

use super::inbox::StreamReset;
use super::memory::{CALL_BYTES, ConnectionMemory, Held, header_bytes};
use super::message_scanner::MessageScanner;
use super::reply::Reply;

/// A handler as a function from an encoded message to a reply, which hides its types.
pub(crate) type UnaryHandler = Box<dyn Fn(Request<Bytes>) -> UnaryFuture>;

pub(super) type UnaryFuture = Pin<Box<dyn Future<Output = Result<Reply, Status>>>>;

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
fn decode<Req: Message + Default>(request: Request<Bytes>) -> Result<Request<Req>, Status> {
    let (metadata, extensions, message) = request.into_parts();
    match message[0] {
        0 => {}
        1 => {
            return Err(Status::internal(
                "protocol error: received message with compressed-flag but no grpc-encoding was specified",
            ));
        }
        flag => {
            return Err(Status::internal(format!(
                "protocol error: received message with invalid compression flag: {flag} (valid flags are 0 and 1), while sending request"
            )));
        }
    }
    let decoded = Req::decode(&message[framing::PREFIX_BYTES..]);
    let decoded = decoded.map_err(|error| Status::internal(error.to_string()))?;
    Ok(Request::from_parts(metadata, extensions, decoded))
}

/// A call on the fast path: reads its message, then runs the handler.
pub(super) struct UnaryCall {
    body: RecvStream,
    scanner: MessageScanner,
    /// The copied frames of an incomplete message.
    received: BytesMut,
    /// What a call holds that has to wait.
    waiting: Option<Waiting>,
    /// `None` once the handler has it.
    request: Option<Request<()>>,
    running: Option<UnaryFuture>,
}

struct Waiting {
    held: Held,
    /// The bytes beside those of the message.
    call_bytes: usize,
}

impl UnaryCall {
    pub(super) fn new(request: Request<()>, body: RecvStream, scanner: MessageScanner) -> Self {
        let (received, request) = (BytesMut::new(), Some(request));
        UnaryCall { body, scanner, received, waiting: None, request, running: None }
    }

    /// Completes when the request has arrived, and `start` has admitted the call and started its handler.
    ///
    /// # Errors
    /// The peer has reset the stream, or the call has failed with a status.
    pub(super) fn poll_start(
        &mut self,
        start: impl FnOnce(Request<Bytes>) -> Result<UnaryFuture, Status>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<(), Status>, StreamReset>> {
        let message = ready!(self.poll_message(cx))?;
        Poll::Ready(Ok(message.and_then(|message| {
            let request = self.request.take().expect("the handler starts once");
            self.running = Some(start(request.map(|()| message))?);
            Ok(())
        })))
    }

    /// Completes with the result of the handler. A panic fails this call only; the connection and
    /// its other calls continue.
    pub(super) fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, Status>> {
        let running = self.running.as_mut().expect("the handler has started");
        match panic::catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
            Ok(polled) => polled,
            Err(payload) => Poll::Ready(Err(panicked(payload))),
        }
    }

    pub(super) fn has_started(&self) -> bool {
        self.running.is_some()
    }

    /// Counts what the call holds from now on, because it has to wait.
    pub(super) fn count_memory(&mut self, memory: &Arc<ConnectionMemory>) {
        let metadata = self.request.as_ref().map(Request::metadata);
        let header_bytes = metadata.map_or(0, |metadata| header_bytes(metadata.as_ref()));
        let call_bytes = CALL_BYTES + header_bytes;
        let held = memory.hold(call_bytes + self.received.capacity());
        self.waiting = Some(Waiting { held, call_bytes });
    }

    /// Reads the request to its end. Completes with its only message, which has its prefix.
    fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<Bytes, Status>, StreamReset>> {
        while let Some(data) = ready!(self.body.poll_data(cx)) {
            let data = data?;
            if let Err(status) = self.scanner.scan(&data) {
                return Poll::Ready(Ok(Err(status)));
            }
            let is_end = self.body.is_end_stream();
            if is_end && self.received.is_empty() {
                return Poll::Ready(Ok(self.scanner.check_end().map(|()| data)));
            }
            self.received.extend_from_slice(&data);
            if let Some(Waiting { held, call_bytes }) = &mut self.waiting {
                held.set(*call_bytes + self.received.capacity());
            }
            if is_end {
                break;
            }
            // At once: a window held back until the message is whole would stop the peer as soon as
            // the connection has more calls than room for messages.
            let _ = self.body.flow_control().release_capacity(data.len());
        }
        let message = self.received.split().freeze();
        Poll::Ready(Ok(self.scanner.check_end().map(|()| message)))
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
