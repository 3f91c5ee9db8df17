//! Serves HTTP/1.1, for gRPC-Web only, with the limits of HTTP/2: handshake, age, idle time, drain,
//! and the delivery of a reply.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::goaway::GoawaySignals;
use super::handshake::DRAIN_HANDSHAKE_GRACE;
use super::stream::Stream;
use super::transport::{MAX_HEADER_LIST_BYTES, Transport, close_reason};
use crate::grpc::connection_state::ConnectionState;
use crate::grpc::{Call, DeliveryDeadline};
use crate::telemetry::metrics::close_reason::CloseReason;

/// Interval between two checks for a call whose deadline has passed.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Serves one call after the other until the connection ends or its grace period is over.
pub(super) async fn serve<IO>(
    io: Stream<IO>,
    connection: &Rc<ConnectionState>,
    transport: &Transport,
    signals: &mut GoawaySignals,
) -> Option<CloseReason>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (limits, peer) = (&transport.limits, connection.peer());
    let delivery = RefCell::new(None);
    let service = service_fn(|request| {
        let call = Call::new(&transport.router, connection.clone(), &request);
        delivery.replace(Some(call.delivery_deadline()));
        call.answer(request)
    });
    let mut http1 = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.handshake_timeout) // between two calls as well
            .max_buf_size(MAX_HEADER_LIST_BYTES as usize)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(io), service)
    );
    let reason = tokio::select! {
        biased;
        served = http1.as_mut() => return close_reason(served, None, peer).map(http1_reason),
        () = delivery_expired(&delivery, connection) => return Some(CloseReason::ReplyNotTaken),
        reason = signals.due(limits, connection) => reason,
    };
    // Adds `connection: close` to the reply in flight; between two calls, closes.
    http1.as_mut().graceful_shutdown();
    let graceful = Some(reason.close_reason());
    tokio::select! {
        biased;
        served = http1 => close_reason(served, graceful, peer).map(http1_reason),
        () = delivery_expired(&delivery, connection) => Some(CloseReason::ReplyNotTaken),
        () = calls_finished(connection) => graceful,
        reason = reason.grace_ended(limits) => Some(reason),
    }
}

/// hyper's only timeout over HTTP/1.1 is that of a request's head.
fn http1_reason(reason: CloseReason) -> CloseReason {
    if reason == CloseReason::KeepaliveTimeout { CloseReason::Http1Idle } else { reason }
}

/// Completes when no call is in flight and the peer has had time to send the rest of a request
/// head: hyper waits for it even after its graceful shutdown.
async fn calls_finished(connection: &ConnectionState) {
    loop {
        sleep(DRAIN_HANDSHAKE_GRACE).await;
        if connection.is_idle() {
            return;
        }
    }
}

/// Completes when the deadline of a call has passed and the peer has not received the reply. HTTP/2
/// resets the stream then; HTTP/1.1 can only close the connection.
async fn delivery_expired(
    delivery: &RefCell<Option<DeliveryDeadline>>,
    connection: &ConnectionState,
) {
    loop {
        sleep(CHECK_INTERVAL).await;
        let has_passed = delivery.borrow().as_ref().is_some_and(DeliveryDeadline::has_passed);
        if has_passed && !connection.is_idle() {
            return;
        }
    }
}
