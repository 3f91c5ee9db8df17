//! Determines the cause of a failed TLS handshake: plaintext, a rejected certificate, an alert, or a
//! fault in the messages of the server.

use std::io::{self, ErrorKind};

use greet_flags::certificate_problem;
use greet_flags::words::words;
use rustls::{AlertDescription, Error, PeerIncompatible, PeerMisbehaved};

use super::certificate_error::certificate_error;
use super::verifier::RecordingVerifier;
use crate::connect::excerpt;
use crate::error::ConnectError;

/// Returns whether an error after the handshake is an error of TLS: an alert, or the end of the
/// connection when the server required a client certificate.
pub(in crate::connect) fn is_tls_error(error: &io::Error, verifier: &RecordingVerifier) -> bool {
    let is_rustls = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>);
    is_rustls || verifier.lacks_identity()
}

/// Returns the cause of an error during the handshake or right after it.
pub(in crate::connect) fn connect_error(
    error: &io::Error,
    verifier: &RecordingVerifier,
    peer: &str,
    wanted: &str,
) -> ConnectError {
    let received = &verifier.received()[..];
    if !received.is_empty() && !is_tls_record(received) {
        let received = match received {
            [0, _, _, 4, ..] => "HTTP/2 SETTINGS".to_owned(),
            _ => excerpt::http1(received)
                .map_or_else(|| excerpt::first_line(received), |http| format!("HTTP/1.1 {http}")),
        };
        return ConnectError::Plaintext { peer: peer.to_owned(), received };
    }
    let Some(tls_error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        let peer = peer.to_owned();
        return if !is_end(error) {
            ConnectError::TlsFailed { peer, problem: error.to_string() }
        } else if verifier.lacks_identity() {
            ConnectError::ClientCertificateRequired { peer }
        } else {
            ConnectError::TlsClosed { peer }
        };
    };
    let certificate_error = match tls_error {
        Error::InvalidCertificate(reason) => certificate_error(reason, verifier, peer, wanted),
        _ => None,
    };
    let peer = peer.to_owned();
    match tls_error {
        Error::AlertReceived(alert) => alert_error(*alert, verifier, peer, wanted),
        Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
            ConnectError::NoHttp2 { peer, answer: "it chose a protocol not offered".to_owned() }
        }
        other => certificate_error
            .unwrap_or_else(|| ConnectError::TlsFailed { peer, problem: describe(other) }),
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

/// Describes an error; rustls has only the names of most.
fn describe(error: &Error) -> String {
    let phrase = match error {
        Error::InappropriateMessage { got_type, .. } => {
            return format!("the server sent an unexpected message: {}", words(got_type));
        }
        Error::InappropriateHandshakeMessage { got_type, .. } => {
            return format!("the server sent an unexpected message: {}", words(got_type));
        }
        Error::InvalidMessage(reason) => {
            return format!("the server sent a malformed message: {}", words(reason));
        }
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            "the server supports neither TLS 1.2 nor TLS 1.3"
        }
        Error::PeerIncompatible(reason) => {
            return format!("the server is not compatible: {}", words(reason));
        }
        Error::PeerMisbehaved(reason) => {
            return format!("the server violates TLS: {}", words(reason));
        }
        Error::AlertReceived(alert) => {
            return format!("the server sent the alert {}", alert_name(*alert));
        }
        Error::InvalidCertificate(reason) => {
            let problem = certificate_problem::describe(reason);
            return format!("the server's certificate is rejected: {problem}");
        }
        Error::InvalidCertRevocationList(reason) => {
            return format!("a certificate revocation list is not valid: {}", words(reason));
        }
        Error::NoCertificatesPresented => "the server sent no certificate",
        Error::UnsupportedNameType => "a certificate cannot have the name of the server",
        Error::DecryptError => "a message of the server cannot be decrypted",
        Error::EncryptError => "a message to the server cannot be encrypted",
        Error::PeerSentOversizedRecord => "the server sent a record that is too large",
        Error::NoApplicationProtocol => "the server supports no protocol that was offered (ALPN)",
        Error::FailedToGetCurrentTime => "the time of this machine is not known",
        Error::FailedToGetRandomBytes => "this machine returns no random numbers",
        Error::HandshakeNotComplete => "the handshake is not complete",
        Error::BadMaxFragmentSize => "the size of fragments is not valid",
        Error::InconsistentKeys(_) => "the key of the client does not match its certificate",
        Error::General(text) => text,
        Error::Other(_) => "an error of the TLS library",
        other => return words(other),
    };
    phrase.to_owned()
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
            ConnectError::ClientCertificateRejected { peer, alert: alert_name(alert) }
        }
        _ => ConnectError::TlsRejected { peer, alert: alert_name(alert) },
    }
}

/// Returns the name of RFC 8446, section 6, such as `unknown_ca`.
fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::Unknown(number) => format!("alert {number}"),
        AlertDescription::UnrecognisedName => "unrecognized_name".to_owned(),
        named => words(&named).replace(' ', "_"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{
        CertRevocationListError, CertificateError, ContentType, HandshakeType, InconsistentKeys,
        InvalidMessage, OtherError,
    };

    use super::*;

    #[test]
    fn no_error_is_described_by_debug_output() {
        let extension = CertRevocationListError::UnsupportedCriticalExtension;
        let (mut described, webpki) = (Vec::new(), webpki::Error::MaximumPathDepthExceeded);
        for error in [
            Error::InappropriateMessage {
                expect_types: vec![ContentType::Handshake],
                got_type: ContentType::ApplicationData,
            },
            Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::Certificate],
                got_type: HandshakeType::KeyUpdate,
            },
            Error::InvalidMessage(InvalidMessage::MissingData("KeyShare")),
            Error::NoCertificatesPresented,
            Error::UnsupportedNameType,
            Error::DecryptError,
            Error::EncryptError,
            Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite),
            Error::AlertReceived(AlertDescription::UnknownCA),
            Error::InvalidCertificate(CertificateError::BadEncoding),
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(webpki)))),
            Error::InvalidCertRevocationList(extension),
            Error::General("text of the library".to_owned()),
            Error::FailedToGetCurrentTime,
            Error::FailedToGetRandomBytes,
            Error::HandshakeNotComplete,
            Error::PeerSentOversizedRecord,
            Error::NoApplicationProtocol,
            Error::BadMaxFragmentSize,
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch),
            Error::Other(OtherError(Arc::new(io::Error::other("CamelCase")))),
        ] {
            let text = describe(&error);
            let is_camel_case =
                |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
            assert!(!text.as_bytes().windows(2).any(is_camel_case), "{text}");
            assert!(!text.contains(['{', '[', '"']), "{text}");
            described.push(text);
        }
        described.dedup();
        assert_eq!(described.len(), 23, "{described:#?}");
    }

    #[test]
    fn alert_has_name_of_rfc() {
        let names = [
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::ProtocolVersion, "protocol_version"),
            (AlertDescription::UnknownPSKIdentity, "unknown_psk_identity"),
            (AlertDescription::from(200), "alert 200"),
        ];
        for (alert, name) in names {
            assert_eq!(alert_name(alert), name);
        }
    }
}
