//! A connection over HTTP/2: calls, and the farewell by GOAWAY.

use std::pin::pin;
use std::rc::Rc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::goaway::{self, Farewell};
use super::handshake::is_drained;
use super::stream::Stream;
use super::transport::{Transport, ended};
use crate::grpc::Call;
use crate::grpc::connection_state::Traffic;
use crate::telemetry::metrics::close_reason::CloseCause;

/// Serves calls until the peer leaves, breaks a rule, or is told to go.
pub(super) async fn serve<IO>(
    io: Stream<IO>,
    (traffic, patience): (Rc<Traffic>, oneshot::Receiver<()>),
    transport: Rc<Transport>,
    drained: &mut oneshot::Receiver<()>,
) -> Option<CloseCause>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let call = Call::new(transport.rpc.clone(), traffic.clone(), &request);
        transport.streams.expect(call.bound());
        call.answer(request)
    });
    let http2 = transport.http2.serve_connection(TokioIo::new(io), service);
    let mut http2 = pin!(http2);

    let (limits, streams) = (&transport.limits, &transport.streams);
    let farewell = tokio::select! {
        biased;
        served = streams.run_beside(http2.as_mut()) => return ended(served, None, traffic.peer()),
        () = is_drained(drained) => Farewell::Drain,
        () = goaway::is_old(limits.max_connection_age) => Farewell::Age,
        () = goaway::is_idle(limits.max_connection_idle, &traffic) => Farewell::Idle,
        _ = patience => Farewell::AbandonedCalls,
    };
    // GOAWAY and PING; once the PONG is back and the last call answered, hyper closes.
    http2.as_mut().graceful_shutdown();
    tokio::select! {
        biased; // what we send now is no sign of life of the peer's: it goes first
        served = streams.run_beside(http2) => ended(served, Some(farewell.cause()), traffic.peer()),
        () = goaway::is_unanswered(&traffic) => Some(CloseCause::GoawayUnanswered),
        cause = farewell.grace(limits) => Some(cause),
    }
}
