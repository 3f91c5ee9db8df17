//! Negotiates TLS if configured, then reads the HTTP/2 preface and SETTINGS, in one deadline.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
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

/// Time for a handshake to finish after the drain begins: the first bytes of the peer, and with
/// them a call, may be in the socket's buffer already.
pub(super) const DRAIN_HANDSHAKE_GRACE: Duration = Duration::from_millis(500);

/// Time for a peer to close its side of a connection after the daemon has closed its own.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum bytes to discard after the daemon has closed its side: Linux buffers no more for a
/// socket. A peer that sends more ignores the close.
const MAX_LINGER_BYTES: u64 = 4 * 1024 * 1024;

/// The response to HTTP/1.
const HTTP_1_RESPONSE: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\n\
    content-type: text/plain\r\ncontent-length: 62\r\nconnection: close\r\n\r\n\
    This port serves gRPC over HTTP/2; HTTP/1.1 is not supported.\n";

/// The response to other protocols: SETTINGS, GOAWAY with PROTOCOL_ERROR (RFC 9113, section 3.4).
const NOT_HTTP_2_RESPONSE: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";

/// Why a handshake failed: `None` if the peer or the network closed the connection.
pub(crate) type HandshakeError = Option<Close>;

/// A stream after its handshake.
#[derive(Debug)]
pub(crate) struct Negotiated<IO> {
    pub(crate) io: IO,
    /// Bytes that were read to recognise the protocol.
    pub(crate) first_bytes: Bytes,
    /// Whether the protocol is HTTP/2; otherwise it is HTTP/1.1.
    pub(crate) is_http2: bool,
    /// The verified certificate of the client, if it presented one.
    pub(crate) client_certificate: Option<CertificateDer<'static>>,
}

impl<IO> Negotiated<IO> {
    fn new(io: IO, first_bytes: Bytes, is_http2: bool) -> Negotiated<IO> {
        Negotiated { io, first_bytes, is_http2, client_certificate: None }
    }
}

/// The protocols that a connection may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocols {
    Http2,
    /// HTTP/1.1 serves gRPC-Web only.
    Http2AndHttp1,
}

/// Negotiates without TLS: HTTP/2 with prior knowledge, or HTTP/1.1 if allowed.
pub(crate) async fn negotiate_plaintext<IO: AsyncRead + AsyncWrite + Unpin>(
    mut io: IO,
    protocols: Protocols,
) -> Result<Negotiated<IO>, HandshakeError> {
    let first_bytes = match preface::read(&mut io).await {
        Ok(first_bytes) => return Ok(Negotiated::new(io, first_bytes, true)),
        Err(PrefaceError::NotHttp2(first_bytes)) => first_bytes,
        Err(PrefaceError::PeerClosed) => return Err(None),
    };
    let is_http1 = may_be_http1(&first_bytes);
    if is_http1 && protocols == Protocols::Http2AndHttp1 {
        return Ok(Negotiated::new(io, first_bytes, false));
    }
    // A browser or curl displays the HTTP/1 response. A client of any other protocol, such as TLS
    // on a plaintext port, recognises an HTTP/2 server by SETTINGS and GOAWAY.
    let response = if is_http1 { HTTP_1_RESPONSE } else { NOT_HTTP_2_RESPONSE };
    let _ = io.write_all(response).await;
    linger(&mut io).await;
    Err(Some(CloseReason::NotHttp2.into()))
}

/// Returns whether the first bytes can be a request line of HTTP/1: its method is in capitals.
pub(super) fn may_be_http1(first_bytes: &[u8]) -> bool {
    first_bytes.first().is_some_and(u8::is_ascii_uppercase)
}

/// Negotiates TLS, and HTTP/2 by ALPN. A rejected peer gets an alert with the reason; the
/// connection lingers, so that its close does not discard the alert.
pub(crate) async fn negotiate_tls<IO: AsyncRead + AsyncWrite + Unpin>(
    io: IO,
    config: Arc<ServerConfig>,
    peer: Peer,
    protocols: Protocols,
    metrics: &WorkerMetrics,
) -> Result<Negotiated<TlsStream<IO>>, HandshakeError> {
    let mut counted = CountedHandshake { metrics, result: HandshakeResult::Timeout };
    let accepted = TlsAcceptor::from(config).accept(io).into_fallible().await;
    counted.result = match &accepted {
        Ok(_) => HandshakeResult::Ok,
        Err((error, _)) if error.kind() == ErrorKind::InvalidData => HandshakeResult::Failed,
        Err(_) => HandshakeResult::PeerClosed,
    };
    drop(counted);
    match accepted {
        Ok(mut io)
            if protocols == Protocols::Http2 && io.get_ref().1.alpn_protocol() != Some(ALPN_H2) =>
        {
            let _ = io.shutdown().await; // sends close_notify; the peer may be gone
            Err(Some(CloseReason::NoAlpn.into()))
        }
        Ok(io) => {
            let chain = io.get_ref().1.peer_certificates();
            let client_certificate = chain.and_then(|chain| chain.first()).cloned();
            let negotiated = negotiate_plaintext(io, protocols).await?;
            Ok(Negotiated { client_certificate, ..negotiated })
        }
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

/// Counts a TLS handshake on drop, because a timeout drops the handshake.
struct CountedHandshake<'a> {
    metrics: &'a WorkerMetrics,
    result: HandshakeResult,
}

impl Drop for CountedHandshake<'_> {
    fn drop(&mut self) {
        self.metrics.handshakes(self.result).add(1);
    }
}

/// Ends a handshake at its timeout, or soon after the drain begins.
pub(crate) async fn with_deadline<T>(
    handshake: impl Future<Output = Result<T, HandshakeError>>,
    handshake_timeout: Duration,
    drain: impl Future<Output = ()>,
) -> Result<T, HandshakeError> {
    let mut handshake = pin!(timeout(handshake_timeout, handshake));
    let ended = tokio::select! {
        ended = handshake.as_mut() => ended,
        () = drain => match timeout(DRAIN_HANDSHAKE_GRACE, handshake).await {
            Ok(ended) => ended,
            Err(_elapsed) => return Err(Some(CloseReason::DrainedInHandshake.into())),
        },
    };
    ended.map_err(|_elapsed| Some(CloseReason::HandshakeTimeout.into()))?
}

/// Closes the daemon's side if it is open, then discards input until the peer has closed its side.
///
/// The kernel resets a connection that is closed with unread bytes, and the reset discards bytes on
/// their way to the peer: the last replies, and the GOAWAY with the last accepted call.
pub(crate) async fn linger<IO: AsyncRead + AsyncWrite + Unpin>(io: &mut IO) {
    let peer_closed = async {
        let _ = io.shutdown().await;
        let _ = tokio::io::copy(&mut io.take(MAX_LINGER_BYTES), &mut tokio::io::sink()).await;
    };
    let _ = timeout(LINGER_TIMEOUT, peer_closed).await;
}

/// Completes when the drain begins; again if called afterwards.
pub(crate) async fn drain_signalled(drained: &mut oneshot::Receiver<()>) {
    if !drained.is_terminated() {
        let _ = drained.await; // the worker drops the sender, which is the signal
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{join, repeat, sink};

    use super::*;

    #[tokio::test]
    async fn linger_reads_up_to_the_limit() {
        for (sent, unread) in [(MAX_LINGER_BYTES, 0), (MAX_LINGER_BYTES + 1, 1)] {
            let mut peer = join(repeat(0).take(sent), sink());
            linger(&mut peer).await;
            assert_eq!(peer.reader().limit(), unread);
        }
    }
}
