//! Serves HTTP/2: calls, then GOAWAY and its grace period.

use std::pin::pin;
use std::rc::Rc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::goaway::{self, GoawaySignals};
use super::stream::Stream;
use super::transport::{Transport, close_reason};
use crate::grpc::Call;
use crate::grpc::connection_state::ConnectionState;
use crate::telemetry::metrics::close_reason::CloseReason;

/// Serves calls until the connection ends or its grace period is over.
pub(super) async fn serve<IO>(
    io: Stream<IO>,
    connection: &Rc<ConnectionState>,
    transport: &Transport,
    signals: &mut GoawaySignals,
) -> Option<CloseReason>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let call = Call::new(&transport.router, connection.clone(), &request);
        transport.streams.set_deadline(call.delivery_deadline());
        call.answer(request)
    });
    let mut http2 = pin!(transport.http2.serve_connection(TokioIo::new(io), service));
    let (limits, streams, peer) = (&transport.limits, &transport.streams, connection.peer());
    let reason = tokio::select! {
        biased;
        served = streams.run_beside(http2.as_mut()) => return close_reason(served, None, peer),
        reason = signals.due(limits, connection) => reason,
    };
    // Sends GOAWAY and PING. hyper closes after the PONG and the last reply.
    http2.as_mut().graceful_shutdown();
    let graceful = Some(reason.close_reason());
    tokio::select! {
        biased; // writes first, so that the bytes of the GOAWAY do not count as activity of the peer
        served = streams.run_beside(http2) => close_reason(served, graceful, peer),
        () = goaway::unanswered(connection) => Some(CloseReason::GoawayUnanswered),
        reason = reason.grace_ended(limits) => Some(reason),
    }
}
