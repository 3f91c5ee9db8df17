//! Serves one connection: handshake, calls, drain, close. Each step has a deadline.

use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::close_log::Close;
use super::goaway::{self, GoawaySignals};
use super::handshake::{HandshakeError, Negotiated, drain_signalled, linger, with_deadline};
use super::transport::Transport;
use super::{http1, http2};
use crate::config::{CONNECTION_BYTES, TLS_BYTES};
use crate::grpc::connection_state::{ConnectionState, GoawayTrigger, Peer};
use crate::grpc::memory::{Held, WorkerMemory};
use crate::telemetry::metrics::close_reason::CloseReason;

/// A connection that has been accepted.
#[derive(Debug)]
pub(crate) struct Opened {
    peer: Peer,
    goaway: GoawayTrigger,
    signals: GoawaySignals,
    /// The cost of the connection itself.
    memory: Held,
}

impl Opened {
    pub(crate) fn new(peer: Peer, is_tls: bool, memory: &WorkerMemory) -> (Opened, GoawayTrigger) {
        let (goaway, signalled) = GoawayTrigger::new();
        let (memory, over_limit) = memory.connection();
        let tls_bytes = if is_tls { TLS_BYTES } else { 0 };
        let memory = memory.hold_fixed(CONNECTION_BYTES + tls_bytes);
        let signals = GoawaySignals { signalled, over_limit };
        (Opened { peer, goaway: goaway.clone(), signals, memory }, goaway)
    }
}

/// Serves until the connection ends or its drain has finished. Returns why the daemon closed the
/// connection, or `None` if the peer or the network did.
pub(crate) async fn serve<IO>(
    handshake: impl Future<Output = Result<Negotiated<IO>, HandshakeError>>,
    opened: Opened,
    transport: Rc<Transport>,
) -> Option<Close>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let Opened { peer, goaway, mut signals, memory: held } = opened;
    let handshake_timeout = transport.limits.handshake_timeout;
    let drained = drain_signalled(&mut signals.signalled);
    let handshake = with_deadline(handshake, handshake_timeout, drained);
    let negotiated = tokio::select! {
        biased;
        reason = goaway::over_limit(&mut signals.over_limit) => return Some(reason.into()),
        negotiated = handshake => match negotiated {
            Ok(negotiated) => negotiated,
            Err(close) => return close,
        },
    };
    let Negotiated { mut io, first_bytes, is_http2, client_certificate } = negotiated;
    let (metrics, memory) = (transport.metrics().clone(), held.connection().clone());
    let connection = ConnectionState::new(metrics, peer, client_certificate, memory, goaway);
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
