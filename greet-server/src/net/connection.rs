//! The life of one connection: handshake, serve, drain, close; each step bounded.

use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::close_log::Close;
use super::handshake::{HandshakeError, Negotiated, drain_signalled, linger, with_deadline};
use super::stream::Stream;
use super::transport::Transport;
use super::{http1, http2};
use crate::grpc::connection_state::{ConnectionState, Peer};
use crate::telemetry::metrics::close_reason::CloseReason;

/// Serves until the peer leaves, breaks a rule, or a drain (the end of `drained`) has finished.
/// Returns why we closed the connection, or `None` when the peer did or it was told to go in peace.
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
    let Negotiated { mut io, first_bytes, is_http2 } = match handshake.await {
        Ok(greeted) => greeted,
        Err(ended) => return ended,
    };
    let (connection, patience) = ConnectionState::new(transport.metrics().clone(), peer);
    let stream = Stream::new(first_bytes, &mut io, connection.clone());
    let owed = (connection, patience);
    let cause = match is_http2 {
        true => http2::serve(stream, owed, transport, &mut drained).await,
        false => http1::serve(stream, owed, transport, &mut drained).await,
    };
    if cause != Some(CloseReason::GoawayUnanswered) {
        linger(&mut io).await;
    }
    cause.map(Close::from)
}
