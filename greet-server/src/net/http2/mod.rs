//! Serves HTTP/2 on the h2 crate: calls, keepalive, GOAWAY and its grace period.

#[cfg(test)]
mod blocked_writes;
#[cfg(test)]
mod closing_peer;
pub(super) mod frame_heads;
mod keepalive;
#[cfg(test)]
mod random_readiness;
#[cfg(test)]
mod test_connection;
mod turn;
mod waker;

use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use h2::{PingPong, Reason};
use tokio::io::{AsyncRead, AsyncWrite};

use self::turn::{Ended, Turns};
use super::goaway::{self, GoawayReason, GoawaySignals};
use super::io::{ConnectionIo, IoState};
use super::transport::Transport;
use crate::grpc::connection_state::ConnectionState;
use crate::grpc::{Http2Calls, SentReplies};
use crate::telemetry::metrics::close_reason::CloseReason;

/// Serves calls until the connection ends or its grace period is over.
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
    // Boxed, so that its memory is freed: a connection keeps the size of the largest future it awaits.
    let handshake = Box::pin(handshake(first_bytes, io, connection, transport));
    let (mut turns, mut ping_pong) = match handshake.await {
        Ok(connected) => connected,
        Err(error) => return close_reason(Ended::Failed(error), None, connection),
    };
    let limits = &transport.limits;
    let reason = tokio::select! {
        biased; // a connection over a limit has no further turn
        reason = signals.due(limits, connection) => reason,
        ended = poll_fn(|cx| turns.poll(cx)) => return close_reason(ended, None, connection),
        () = keepalive::unanswered(&mut ping_pong, limits, connection) => {
            turns.close(Reason::NO_ERROR).await;
            return Some(CloseReason::KeepaliveTimeout);
        }
    };
    if let GoawayReason::OverLimit(reason) = reason {
        turns.close(Reason::ENHANCE_YOUR_CALM).await;
        return Some(reason);
    }
    // Sends GOAWAY and PING. h2 closes after the PONG and the last reply.
    turns.h2.graceful_shutdown();
    let graceful = Some(reason.close_reason());
    tokio::select! {
        biased; // writes first, so that the bytes of the GOAWAY do not count as activity of the peer
        reason = goaway::over_limit(&mut signals.over_limit) => {
            turns.close(Reason::ENHANCE_YOUR_CALM).await;
            Some(reason)
        }
        ended = poll_fn(|cx| turns.poll(cx)) => close_reason(ended, graceful, connection),
        () = goaway::unanswered(connection) => Some(CloseReason::GoawayUnanswered),
        reason = reason.grace_ended(limits) => Some(reason),
    }
}

/// Completes the handshake of HTTP/2. Returns the connection before its first turn.
async fn handshake<'a, IO>(
    first_bytes: Bytes,
    io: IO,
    connection: &Rc<ConnectionState>,
    transport: &'a Transport,
) -> Result<(Turns<'a, IO>, PingPong), h2::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let io_state = IoState::for_http2();
    let io = ConnectionIo::new(first_bytes, io, connection.clone(), io_state.clone());
    let mut h2 = transport.http2.handshake(io).await?;
    io_state.allow_vectored_writes();
    let ping_pong = h2.ping_pong().expect("nothing else has taken it");
    let sent = Rc::<SentReplies>::default();
    let calls = Http2Calls::new(transport.router.clone(), connection.clone(), sent.clone());
    Ok((Turns::new(h2, calls, sent, io_state, transport), ping_pong))
}

/// Returns why the daemon closed a connection: `graceful` without an error. `None` if the peer did.
fn close_reason(
    ended: Ended,
    graceful: Option<CloseReason>,
    connection: &ConnectionState,
) -> Option<CloseReason> {
    match ended {
        Ended::Closed => graceful,
        Ended::ReplyNotTaken => Some(CloseReason::ReplyNotTaken),
        Ended::Failed(error) if error.is_io() || error.is_remote() => None,
        Ended::Failed(error) => {
            tracing::debug!(peer = %connection.peer(), %error, "connection failed");
            Some(CloseReason::ProtocolError)
        }
    }
}
