//! The TLS stage of `https` targets.

pub(crate) mod certificate;
mod certificate_error;
mod config;
mod handshake_error;
mod verifier;

use std::sync::Arc;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::io::InspectReader;

use self::certificate::Certificate;
use self::config::ALPN_H2;
use self::verifier::RecordingVerifier;
use crate::error::ConnectError;
use crate::format::HumanDuration;

pub(crate) use self::config::Tls;
pub(super) use self::handshake_error::{connect_error, is_tls_error};

/// The negotiated parameters, as far as the handshake got.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TlsFacts {
    pub(crate) version: Option<String>,
    pub(crate) cipher: Option<String>,
    pub(crate) alpn: Option<String>,
    pub(crate) certificate: Option<Certificate>,
    /// Whether the server requested a client certificate, and whether one was sent.
    pub(crate) client_certificate: &'static str,
}

/// Performs the handshake with `peer`, whose certificate must be valid for `host`.
pub(super) async fn handshake<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: IO,
    peer: &str,
    host: &str,
    tls: &Tls,
    deadline: Instant,
    facts: &mut Option<Box<TlsFacts>>,
) -> Result<
    (impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Arc<RecordingVerifier>),
    ConnectError,
> {
    let started = Instant::now();
    let name = match tls.server_name() {
        Some(name) => name.clone(),
        None => ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::TlsFailed {
            peer: peer.to_owned(),
            problem: format!("{host} is not a valid name in a certificate"),
        })?,
    };
    let wanted = name.to_str().into_owned();
    let (config, verifier) = tls.configure();
    let connector = TlsConnector::from(Arc::new(config));
    let recorder = Arc::clone(&verifier);
    let stream = InspectReader::new(stream, move |bytes| recorder.record(bytes));
    let connected = match timeout_at(deadline, connector.connect(name, stream)).await {
        Ok(connected) => connected.map_err(|error| connect_error(&error, &verifier, peer, &wanted)),
        Err(_elapsed) => {
            let after = HumanDuration(started.elapsed()).to_string();
            Err(ConnectError::TlsTimeout { peer: peer.to_owned(), after })
        }
    };
    let session = connected.as_ref().ok().map(|stream| stream.get_ref().1);
    *facts = Some(Box::new(TlsFacts::new(session, &verifier)));
    let stream = connected?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN_H2) {
        let answer = "it chose no protocol".to_owned();
        return Err(ConnectError::NoHttp2 { peer: peer.to_owned(), answer });
    }
    Ok((stream, verifier))
}

impl TlsFacts {
    fn new(session: Option<&ClientConnection>, verifier: &RecordingVerifier) -> TlsFacts {
        let version = session.and_then(|session| session.protocol_version());
        let cipher = session.and_then(|session| session.negotiated_cipher_suite());
        let protocol = session.and_then(|session| session.alpn_protocol());
        let is_requested = verifier.is_certificate_requested();
        TlsFacts {
            version: version.map(|version| match version {
                rustls::ProtocolVersion::TLSv1_2 => "TLS 1.2".to_owned(),
                rustls::ProtocolVersion::TLSv1_3 => "TLS 1.3".to_owned(),
                other => format!("{other:?}"),
            }),
            cipher: cipher.map(|cipher| format!("{:?}", cipher.suite())),
            alpn: protocol.map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
            certificate: verifier.certificate(),
            client_certificate: match (is_requested, verifier.has_identity()) {
                (false, _) => "not requested",
                (true, false) => "requested, not sent",
                (true, true) => "sent",
            },
        }
    }
}
