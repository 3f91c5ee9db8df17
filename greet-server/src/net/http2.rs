//! A connection over HTTP/2: calls, and the farewell by GOAWAY.

use std::pin::pin;
use std::rc::Rc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::goaway::{self, GoawayReason};
use super::handshake::drain_signalled;
use super::stream::Stream;
use super::transport::{Transport, ended};
use crate::grpc::Call;
use crate::grpc::connection_state::ConnectionState;
use crate::telemetry::metrics::close_reason::CloseReason;

/// Serves calls until the peer leaves, breaks a rule, or is told to go.
pub(super) async fn serve<IO>(
    io: Stream<IO>,
    (connection, patience): (Rc<ConnectionState>, oneshot::Receiver<()>),
    transport: Rc<Transport>,
    drained: &mut oneshot::Receiver<()>,
) -> Option<CloseReason>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let call = Call::new(&transport.router, connection.clone(), &request);
        transport.streams.expect(call.bound());
        call.answer(request)
    });
    let http2 = transport.http2.serve_connection(TokioIo::new(io), service);
    let mut http2 = pin!(http2);

    let (limits, streams) = (&transport.limits, &transport.streams);
    let farewell = tokio::select! {
        biased;
        served = streams.run_beside(http2.as_mut()) => return ended(served, None, connection.peer()),
        () = drain_signalled(drained) => GoawayReason::Drain,
        () = goaway::max_age_reached(limits.max_connection_age) => GoawayReason::Age,
        () = goaway::is_idle(limits.max_connection_idle, &connection) => GoawayReason::Idle,
        _ = patience => GoawayReason::AbandonedCalls,
    };
    // GOAWAY and PING; once the PONG is back and the last call answered, hyper closes.
    http2.as_mut().graceful_shutdown();
    tokio::select! {
        biased; // what we send now is no sign of life of the peer's: it goes first
        served = streams.run_beside(http2) => ended(served, Some(farewell.cause()), connection.peer()),
        () = goaway::goaway_unanswered(&connection) => Some(CloseReason::GoawayUnanswered),
        cause = farewell.grace(limits) => Some(cause),
    }
}
