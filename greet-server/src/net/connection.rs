//! Serves one connection: handshake, calls, drain, close. Each step has a deadline.

use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::close_log::Close;
use super::goaway::GoawaySignals;
use super::handshake::{HandshakeError, Negotiated, drain_signalled, linger, with_deadline};
use super::transport::Transport;
use super::{http1, http2};
use crate::config::{CONNECTION_BYTES, TLS_BYTES};
use crate::grpc::connection_state::{CloseSignal, ConnectionState, Peer};
use crate::grpc::memory::{ConnectionMemory, Held, WorkerMemory};
use crate::telemetry::metrics::close_reason::CloseReason;

/// What a worker keeps of a connection that it serves.
#[derive(Debug)]
pub(crate) struct ConnectionHandle {
    /// Its drop starts the drain.
    _drain: oneshot::Sender<()>,
    close: Rc<CloseSignal>,
    memory: Arc<ConnectionMemory>,
}

/// A connection that has been accepted.
#[derive(Debug)]
pub(crate) struct Opened {
    peer: Peer,
    close: Rc<CloseSignal>,
    signals: GoawaySignals,
    /// The cost of the connection itself.
    memory: Held,
}

impl Opened {
    pub(crate) fn new(
        peer: Peer,
        is_tls: bool,
        memory: &WorkerMemory,
    ) -> (Opened, ConnectionHandle) {
        let (drain, drained) = oneshot::channel();
        let (close, over_limit) = CloseSignal::new();
        let memory = memory.connection();
        let tls_bytes = if is_tls { TLS_BYTES } else { 0 };
        let opened = Opened {
            peer,
            close: close.clone(),
            signals: GoawaySignals { drained, over_limit },
            memory: memory.hold(CONNECTION_BYTES + tls_bytes),
        };
        (opened, ConnectionHandle { _drain: drain, close, memory })
    }
}

impl ConnectionHandle {
    /// Returns the bytes that are held for the connection.
    pub(crate) fn held(&self) -> u64 {
        self.memory.held()
    }

    /// Closes the connection at its next turn. Its bytes count no longer.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.memory.closing();
        self.close.close(reason);
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
    let Opened { peer, close, mut signals, memory: held } = opened;
    let handshake_timeout = transport.limits.handshake_timeout;
    let drained = drain_signalled(&mut signals.drained);
    let handshake = with_deadline(handshake, handshake_timeout, drained);
    let negotiated = match handshake.await {
        Ok(negotiated) => negotiated,
        Err(close) => return close,
    };
    let Negotiated { mut io, first_bytes, is_http2, client_certificate } = negotiated;
    let (metrics, memory) = (transport.metrics().clone(), held.connection().clone());
    let connection = ConnectionState::new(metrics, peer, client_certificate, memory, close);
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
