//! From an accepted socket to the peer's first words of HTTP/2: TLS if it is asked for, then preface
//! and SETTINGS, all of it within one bound.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::close_log::Close;
use super::preface::{self, PrefaceError};
use super::tls::ALPN_H2;
use crate::grpc::connection_state::Peer;
use crate::telemetry::metrics::close_reason::CloseReason;
use crate::telemetry::metrics::worker::{HandshakeResult, WorkerMetrics};

/// How long a peer that is in its handshake when the drain begins may take to finish it: its first
/// bytes may be in the socket already, and with them a call.
pub(super) const DRAIN_HANDSHAKE_GRACE: Duration = Duration::from_millis(500);

/// How long a peer may take to close its side after we closed ours. It is about to: it has been told.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// What a peer may have under way when it is told: as much as Linux buffers for a socket at most. Who
/// sends more has not listened.
const MAX_LINGER_BYTES: u64 = 4 * 1024 * 1024;

/// Said to whoever comes with HTTP/1, in the last words of it that are left to say.
const NOT_HTTP_1: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\n\
    content-type: text/plain\r\ncontent-length: 67\r\nconnection: close\r\n\r\n\
    This port speaks gRPC, which is HTTP/2. There is nothing over 1.1.\n";

/// Said to whoever comes with neither: empty SETTINGS, then a GOAWAY with PROTOCOL_ERROR (RFC 9113,
/// section 3.4).
const NOT_HTTP_2: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";

/// Why a handshake failed: `None` if the peer or the network closed the connection.
pub(crate) type HandshakeError = Option<Close>;

/// A stream and what it said already.
#[derive(Debug)]
pub(crate) struct Negotiated<IO> {
    pub(crate) io: IO,
    pub(crate) first_bytes: Bytes,
    /// Or HTTP/1.1.
    pub(crate) is_http2: bool,
}

/// What a connection may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocols {
    Http2,
    /// For gRPC-Web.
    Http1Too,
}

/// HTTP/2 with prior knowledge, or what else may be spoken.
pub(crate) async fn plaintext<IO: AsyncRead + AsyncWrite + Unpin>(
    mut io: IO,
    spoken: Protocols,
) -> Result<Negotiated<IO>, HandshakeError> {
    match preface::read(&mut io).await {
        Ok(first_bytes) => Ok(Negotiated { io, first_bytes, is_http2: true }),
        Err(PrefaceError::NotHttp2(first_bytes))
            if spoken == Protocols::Http1Too && may_be_http1(&first_bytes) =>
        {
            Ok(Negotiated { io, first_bytes, is_http2: false })
        }
        Err(PrefaceError::NotHttp2(bytes)) => {
            // It may be HTTP/1: a person with a browser or curl is told what this is. To anything else,
            // such as TLS where there is none, the words are HTTP/2: from them a client can tell.
            let words = match may_be_http1(&bytes) {
                true => NOT_HTTP_1,
                false => NOT_HTTP_2,
            };
            let _ = io.write_all(words).await;
            linger(&mut io).await;
            Err(Some(CloseReason::NotHttp2.into()))
        }
        Err(PrefaceError::Gone) => Err(None),
    }
}

/// A method in capitals comes first.
fn may_be_http1(first_bytes: &[u8]) -> bool {
    first_bytes.first().is_some_and(u8::is_ascii_uppercase)
}

/// HTTP/2 over TLS, by ALPN. A peer that is refused is told why by an alert, and heard out, so that
/// the alert is not lost with the connection.
pub(crate) async fn tls<IO: AsyncRead + AsyncWrite + Unpin>(
    io: IO,
    config: Arc<ServerConfig>,
    peer: Peer,
    spoken: Protocols,
    metrics: &WorkerMetrics,
) -> Result<Negotiated<TlsStream<IO>>, HandshakeError> {
    let mut counted = Counted { metrics, result: HandshakeResult::Unfinished };
    let accepted = TlsAcceptor::from(config).accept(io).into_fallible().await;
    counted.result = match &accepted {
        Ok(_) => HandshakeResult::Ok,
        Err((error, _)) if error.kind() == ErrorKind::InvalidData => HandshakeResult::Failed,
        Err(_) => HandshakeResult::Gone,
    };
    drop(counted);
    match accepted {
        Ok(mut io)
            if spoken == Protocols::Http2 && io.get_ref().1.alpn_protocol() != Some(ALPN_H2) =>
        {
            let _ = io.shutdown().await; // close_notify, for a peer that is still there
            Err(Some(CloseReason::NoAlpn.into()))
        }
        Ok(io) => plaintext(io, spoken).await,
        Err((error, mut io)) if error.kind() == ErrorKind::InvalidData => {
            linger(&mut io).await;
            Err(Some(Close { reason: CloseReason::TlsFailed, error: Some(error) }))
        }
        Err((error, _)) => {
            tracing::debug!(%peer, %error, "TLS handshake aborted");
            Err(None)
        }
    }
}

/// Counts a TLS handshake when it is dropped: as unfinished, if nobody said better.
struct Counted<'a> {
    metrics: &'a WorkerMetrics,
    result: HandshakeResult,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.handshakes(self.result).add(1);
    }
}

/// Bounds a handshake: by its own timeout, and by the patience of a drain.
pub(crate) async fn with_deadline<T>(
    handshake: impl Future<Output = Result<T, HandshakeError>>,
    handshake_timeout: Duration,
    drained: impl Future<Output = ()>,
) -> Result<T, HandshakeError> {
    let mut handshake = pin!(timeout(handshake_timeout, handshake));
    let ended = tokio::select! {
        ended = handshake.as_mut() => ended,
        () = drained => match timeout(DRAIN_HANDSHAKE_GRACE, handshake).await {
            Ok(ended) => ended,
            Err(_elapsed) => return Err(Some(CloseReason::DrainedInHandshake.into())),
        },
    };
    ended.map_err(|_elapsed| Some(CloseReason::HandshakeTimeout.into()))?
}

/// Closes our side, if it is still open, then reads on, and throws away, until the peer has closed too.
/// Closing on unread bytes makes the kernel send a reset, and a reset takes with it what the peer has not
/// received yet: the last replies, and the GOAWAY that says which calls were never taken.
pub(crate) async fn linger<IO: AsyncRead + AsyncWrite + Unpin>(io: &mut IO) {
    let goodbye = async {
        let _ = io.shutdown().await;
        let _ = tokio::io::copy(&mut io.take(MAX_LINGER_BYTES), &mut tokio::io::sink()).await;
    };
    let _ = timeout(LINGER_TIMEOUT, goodbye).await;
}

/// What the drain tells a connection, once.
pub(crate) async fn drain_signalled(drained: &mut oneshot::Receiver<()>) {
    if !drained.is_terminated() {
        let _ = drained.await; // the worker drops its end, which is an error and the signal
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{join, repeat, sink};

    use super::*;

    #[tokio::test]
    async fn a_goodbye_hears_so_many_bytes_out_and_not_one_more() {
        for (sent, unheard) in [(MAX_LINGER_BYTES, 0), (MAX_LINGER_BYTES + 1, 1)] {
            let mut peer = join(repeat(0).take(sent), sink());
            linger(&mut peer).await;
            assert_eq!(peer.reader().limit(), unheard);
        }
    }
}
