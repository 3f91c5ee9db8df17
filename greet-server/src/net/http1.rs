//! A connection over HTTP/1.1, which is there for gRPC-Web alone. What bounds one over HTTP/2 bounds it
//! too: handshake, age, idleness, drain, and a peer that does not take its reply.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::goaway::{self, GoawayReason};
use super::handshake::{DRAIN_HANDSHAKE_GRACE, drain_signalled};
use super::stream::Stream;
use super::transport::{MAX_HEADER_LIST_BYTES, Transport, ended};
use crate::grpc::connection_state::ConnectionState;
use crate::grpc::{Call, DeliveryDeadline};
use crate::telemetry::metrics::close_reason::CloseReason;

/// A call whose time is up is noticed this much later at most.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Serves one call after the other until the peer leaves, breaks a rule, or is told to go.
pub(super) async fn serve<IO>(
    io: Stream<IO>,
    (connection, patience): (Rc<ConnectionState>, oneshot::Receiver<()>),
    transport: Rc<Transport>,
    drained: &mut oneshot::Receiver<()>,
) -> Option<CloseReason>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &transport.limits;
    let bound = RefCell::new(None);
    let service = service_fn(|request| {
        let call = Call::new(&transport.router, connection.clone(), &request);
        bound.replace(Some(call.bound()));
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
    let farewell = tokio::select! {
        biased;
        served = http1.as_mut() => return ended(served, None, connection.peer()).map(of_http1),
        () = is_late(&bound, &connection) => return Some(CloseReason::ReplyNotTaken),
        () = drain_signalled(drained) => GoawayReason::Drain,
        () = goaway::max_age_reached(limits.max_connection_age) => GoawayReason::Age,
        () = goaway::is_idle(limits.max_connection_idle, &connection) => GoawayReason::Idle,
        _ = patience => GoawayReason::AbandonedCalls,
    };
    // `connection: close` with the reply to the call at work; without one, the end.
    http1.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        served = http1 => ended(served, Some(farewell.cause()), connection.peer()).map(of_http1),
        () = is_late(&bound, &connection) => Some(CloseReason::ReplyNotTaken),
        () = owes_nothing(&connection) => Some(farewell.cause()),
        cause = farewell.grace(limits) => Some(cause),
    }
}

/// The one timeout that hyper has here is that of a head.
fn of_http1(cause: CloseReason) -> CloseReason {
    match cause {
        CloseReason::KeepaliveTimeout => CloseReason::Http1Idle,
        cause => cause,
    }
}

/// Completes when a connection that was told to go has no call at work, and has had the time to finish the
/// head of one: hyper waits for the rest of a head as ever.
async fn owes_nothing(connection: &ConnectionState) {
    loop {
        sleep(DRAIN_HANDSHAKE_GRACE).await;
        if connection.is_idle() {
            return;
        }
    }
}

/// Completes when a call is over for its deadline, and its peer has still not taken the reply. Over
/// HTTP/2 its stream is reset; here the connection is all there is.
async fn is_late(bound: &RefCell<Option<DeliveryDeadline>>, connection: &ConnectionState) {
    loop {
        sleep(CHECK_INTERVAL).await;
        let is_over = bound.borrow().as_ref().is_some_and(DeliveryDeadline::is_over);
        if is_over && !connection.is_idle() {
            return;
        }
    }
}
