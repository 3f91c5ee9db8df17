//! Serves HTTP/1.1, for gRPC-Web only, with the limits of HTTP/2: handshake, age, idle time, drain,
//! and the delivery of a reply.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::goaway::{self, GoawayReason, GoawaySignals};
use super::handshake::DRAIN_HANDSHAKE_GRACE;
use super::io::{ConnectionIo, IoState};
use super::transport::{MAX_HEADER_LIST_BYTES, Transport};
use crate::grpc::connection_state::ConnectionState;
use crate::grpc::{Http1Calls, STALL_TIMEOUT, SentReplies};
use crate::telemetry::metrics::close_reason::CloseReason;

/// Interval between two checks for a call whose deadline has passed.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Serves one call after the other until the connection ends or its grace period is over.
pub(super) async fn serve<IO>(
    first_bytes: Bytes,
    io: IO,
    connection: &Rc<ConnectionState>,
    transport: &Transport,
    signals: &mut GoawaySignals,
) -> Option<CloseReason>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &transport.limits;
    let io_state = Rc::<IoState>::default();
    let io = ConnectionIo::new(first_bytes, io, connection.clone(), io_state.clone());
    let sent = Rc::<SentReplies>::default();
    let calls = Http1Calls::new(transport.router.clone(), connection.clone(), sent.clone());
    let mut http1 = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.handshake_timeout) // between two calls as well
            .max_buf_size(MAX_HEADER_LIST_BYTES as usize)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(io), service_fn(|request| calls.answer(request)))
    );
    let reason = tokio::select! {
        biased;
        reason = signals.due(limits, connection) => reason,
        served = serving(http1.as_mut(), &io_state, &sent) => {
            return close_reason(served, None, connection);
        }
        () = reply_expired(&calls, &io_state) => return Some(CloseReason::ReplyNotTaken),
    };
    if let GoawayReason::OverLimit(reason) = reason {
        return Some(reason);
    }
    // Adds `connection: close` to the reply in flight; between two calls, closes.
    http1.as_mut().graceful_shutdown();
    let graceful = Some(reason.close_reason());
    tokio::select! {
        biased;
        reason = goaway::over_limit(&mut signals.over_limit) => Some(reason),
        served = serving(http1, &io_state, &sent) => close_reason(served, graceful, connection),
        () = reply_expired(&calls, &io_state) => Some(CloseReason::ReplyNotTaken),
        () = calls_finished(connection) => graceful,
        reason = reason.grace_ended(limits) => Some(reason),
    }
}

/// Polls a connection, and ends the calls whose replies it has flushed.
fn serving<C: Future>(
    mut http1: Pin<&mut C>,
    io: &IoState,
    sent: &SentReplies,
) -> impl Future<Output = C::Output> {
    poll_fn(move |cx| {
        let polled = http1.as_mut().poll(cx);
        if io.is_flushed() {
            sent.flushed();
        }
        polled
    })
}

/// Returns why the daemon closed a connection: `graceful` without an error. `None` if the peer did.
fn close_reason(
    served: hyper::Result<()>,
    graceful: Option<CloseReason>,
    connection: &ConnectionState,
) -> Option<CloseReason> {
    let error = match served {
        Ok(()) => return graceful,
        // hyper's only timeout over HTTP/1.1 is that of a request's head.
        Err(error) if error.is_timeout() => return Some(CloseReason::Http1Idle),
        // The peer closed the connection in the middle of a request.
        Err(error) if error.is_incomplete_message() => return None,
        Err(error) => anyhow::Error::new(error),
    };
    if error.chain().any(<dyn Error>::is::<io::Error>) {
        return None; // the peer or the network closed the connection
    }
    tracing::debug!(peer = %connection.peer(), error = format!("{error:#}"), "connection failed");
    Some(CloseReason::ProtocolError)
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

/// Completes when the peer has not received a reply within the deadline of its call, or no byte for
/// [`STALL_TIMEOUT`]. HTTP/2 resets the stream then; HTTP/1.1 can only close the connection.
async fn reply_expired(calls: &Http1Calls, io: &IoState) {
    loop {
        sleep(CHECK_INTERVAL).await;
        if calls.is_expired() || io.write_blocked_for() >= STALL_TIMEOUT {
            return;
        }
    }
}
