//! The TLS stage of `https` targets, and the cause of a failed handshake.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConnection, Error, PeerMisbehaved};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::io::InspectReader;

use super::certificate::{Certificate, rfc3339};
use super::excerpt;
use super::tls_config::{ALPN_H2, Tls};
use super::verifier::RecordingVerifier;
use crate::error::ConnectError;
use crate::format::HumanDuration;

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
pub(super) async fn handshake(
    stream: TcpStream,
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

/// Returns whether an error after the handshake is an error of TLS: an alert, or the end of the
/// connection when the server required a client certificate.
pub(super) fn is_tls_error(error: &io::Error, verifier: &RecordingVerifier) -> bool {
    let is_rustls = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>);
    is_rustls || verifier.lacks_identity()
}

/// Returns the cause of an error during the handshake or right after it.
pub(super) fn connect_error(
    error: &io::Error,
    verifier: &RecordingVerifier,
    peer: &str,
    wanted: &str,
) -> ConnectError {
    let peer = peer.to_owned();
    let received = &verifier.received()[..];
    if !received.is_empty() && !is_tls_record(received) {
        let received = match received {
            [0, _, _, 4, ..] => "HTTP/2 SETTINGS".to_owned(),
            _ => excerpt::http1(received)
                .map_or_else(|| excerpt::first_line(received), |http| format!("HTTP/1.1 {http}")),
        };
        return ConnectError::Plaintext { peer, received };
    }
    let failed = || ConnectError::TlsFailed { peer: peer.clone(), problem: error.to_string() };
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(reason)) => match verifier.certificate() {
            Some(certificate) => certificate_error(reason, &certificate, verifier, peer, wanted),
            None => failed(),
        },
        Some(Error::AlertReceived(alert)) => alert_error(*alert, verifier, peer, wanted),
        Some(Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol)) => {
            ConnectError::NoHttp2 { peer, answer: "it chose a protocol not offered".to_owned() }
        }
        None if is_end(error) && verifier.lacks_identity() => {
            ConnectError::ClientCertificateRequired { peer }
        }
        None if is_end(error) => ConnectError::TlsClosed { peer },
        _ => failed(),
    }
}

/// Returns whether these bytes start with a type and a version of TLS (RFC 8446, section 5.1).
fn is_tls_record(received: &[u8]) -> bool {
    matches!(received, [20..=23] | [20..=23, 3, ..])
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

/// Returns why the server's certificate was rejected.
fn certificate_error(
    reason: &CertificateError,
    certificate: &Certificate,
    verifier: &RecordingVerifier,
    peer: String,
    wanted: &str,
) -> ConnectError {
    let subject = certificate.subject.clone();
    let now = SystemTime::now();
    let between = |from: SystemTime, to: SystemTime| {
        const SECONDS_A_DAY: u64 = 24 * 60 * 60;
        match to.duration_since(from).unwrap_or_default().as_secs() {
            seconds @ ..SECONDS_A_DAY => format!("{} minutes", seconds / 60),
            seconds => format!("{} days", seconds / SECONDS_A_DAY),
        }
    };
    match reason {
        CertificateError::UnknownIssuer => {
            ConnectError::UnknownIssuer { peer, subject, issuer: certificate.issuer.clone() }
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = certificate.joined_names();
            ConnectError::WrongName { peer, names, wanted: wanted.to_owned() }
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            // Any certificate of the chain may be the expired one.
            let expired = verifier.chain().find(|certificate| certificate.not_after < now);
            let Certificate { subject, not_after, .. } = expired.unwrap_or(certificate.clone());
            let (on, ago) = (rfc3339(not_after), between(not_after, now));
            ConnectError::Expired { peer, subject, on, ago }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let not_yet = verifier.chain().find(|certificate| certificate.not_before > now);
            let Certificate { subject, not_before, .. } = not_yet.unwrap_or(certificate.clone());
            let (from, time) = (rfc3339(not_before), between(now, not_before));
            ConnectError::NotYetValid { peer, subject, from, time }
        }
        other => ConnectError::BadCertificate { peer, subject, problem: describe(other) },
    }
}

/// Describes reasons for which rustls and webpki have only a name.
fn describe(reason: &CertificateError) -> String {
    match reason {
        CertificateError::BadEncoding => "it is malformed".to_owned(),
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is the certificate of a CA, not of a server".to_owned()
        }
        other => other.to_string(),
    }
}

/// Returns why the server ended the handshake.
fn alert_error(
    alert: AlertDescription,
    verifier: &RecordingVerifier,
    peer: String,
    wanted: &str,
) -> ConnectError {
    use AlertDescription as Alert;
    // RFC 8446, section 6: *_certificate, certificate_*, unknown_ca, access_denied, decrypt_error.
    let rejects_certificate = matches!(u8::from(alert), 42..=46 | 48 | 49 | 51);
    match alert {
        Alert::NoApplicationProtocol => ConnectError::NoHttp2 {
            peer,
            answer: "it refused h2, the only protocol offered".to_owned(),
        },
        Alert::UnrecognisedName => {
            ConnectError::UnknownServerName { peer, name: wanted.to_owned() }
        }
        Alert::CertificateRequired => ConnectError::ClientCertificateRequired { peer },
        // With TLS 1.2, servers send these to a client without a certificate.
        _ if verifier.lacks_identity()
            && (rejects_certificate || alert == Alert::HandshakeFailure) =>
        {
            ConnectError::ClientCertificateRequired { peer }
        }
        _ if verifier.is_certificate_requested() && rejects_certificate => {
            ConnectError::ClientCertificateRejected { peer, alert: format!("{alert:?}") }
        }
        _ => ConnectError::TlsRejected { peer, alert: format!("{alert:?}") },
    }
}
