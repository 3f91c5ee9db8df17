//! Serves one connection: handshake, calls, drain, close. Each step has a deadline.

use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::close_log::Close;
use super::goaway::GoawaySignals;
use super::handshake::{HandshakeError, Negotiated, drain_signalled, linger, with_deadline};
use super::transport::Transport;
use super::{http1, http2};
use crate::grpc::connection_state::{ConnectionState, Peer};
use crate::telemetry::metrics::close_reason::CloseReason;

/// Serves until the connection ends or its drain has finished; the end of `drained` starts the
/// drain. Returns why the daemon closed the connection, or `None` if the peer or the network did.
pub(crate) async fn serve<IO>(
    handshake: impl Future<Output = Result<Negotiated<IO>, HandshakeError>>,
    peer: Peer,
    transport: Rc<Transport>,
    mut drained: oneshot::Receiver<()>,
) -> Option<Close>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let handshake_timeout = transport.limits.handshake_timeout;
    let handshake = with_deadline(handshake, handshake_timeout, drain_signalled(&mut drained));
    let negotiated = match handshake.await {
        Ok(negotiated) => negotiated,
        Err(close) => return close,
    };
    let Negotiated { mut io, first_bytes, is_http2, client_certificate } = negotiated;
    let (connection, over_limit) =
        ConnectionState::new(transport.metrics().clone(), peer, client_certificate);
    let mut signals = GoawaySignals { drained, over_limit };
    let reason = if is_http2 {
        http2::serve(first_bytes, &mut io, &connection, &transport, &mut signals).await
    } else {
        // Boxed: otherwise each connection of HTTP/2 would have room for it.
        Box::pin(http1::serve(first_bytes, &mut io, &connection, &transport, &mut signals)).await
    };
    if reason != Some(CloseReason::GoawayUnanswered) {
        linger(&mut io).await;
    }
    reason.map(Close::from)
}
