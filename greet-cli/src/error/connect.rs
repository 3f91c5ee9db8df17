//! Every way in which a call is known not to be sent: what was seen, and what to do about it.
//! `docs/errors.md` shows each with the line and the hint that stand here.

use std::time::Duration;

use super::Stage;
use crate::format::HumanDuration;

/// Why there is no connection. Nothing of the call was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(test, derive(strum::EnumCount))]
pub(crate) enum ConnectError {
    #[error("could not look up {host}: {problem}")]
    UnknownHost { host: String, problem: String },
    #[error("could not look up {host}: {problem}")]
    NoNameServer { host: String, problem: String },
    #[error("could not look up {host}: the name server did not answer within {}", HumanDuration(*.after))]
    LookupTimeout { host: String, after: Duration },

    #[error("could not connect to {peer}: connection refused")]
    Refused { peer: String },
    #[error("could not connect to {peer}: there is no such socket")]
    NoSuchSocket { peer: String },
    #[error("could not connect to {peer}: the network or the host cannot be reached")]
    Unreachable { peer: String },
    #[error("could not connect to {peer}: no answer within {}", HumanDuration(*.after))]
    ConnectTimeout { peer: String, after: Duration },
    #[error("could not connect to {peer}: {problem}")]
    NotOpened { peer: String, problem: String },

    #[error("{peer} speaks plaintext, not TLS: it answered {heard}")]
    Plaintext { peer: String, heard: String },
    #[error("{peer} closed the connection during the TLS handshake")]
    TlsClosed { peer: String },
    #[error("{peer} said nothing in the TLS handshake within {}", HumanDuration(*.after))]
    TlsTimeout { peer: String, after: Duration },
    #[error(
        "the certificate of {peer} ({subject}) is signed by {issuer}, which is not trusted here"
    )]
    UnknownIssuer { peer: String, subject: String, issuer: String },
    #[error("the certificate of {peer} is for {names}, not for {wanted}")]
    WrongName { peer: String, names: String, wanted: String },
    #[error("the certificate of {peer} ({subject}) expired on {on}, {ago} ago")]
    Expired { peer: String, subject: String, on: String, ago: String },
    #[error("the certificate of {peer} ({subject}) is not valid before {from}, in {time}")]
    NotYetValid { peer: String, subject: String, from: String, time: String },
    #[error("the certificate of {peer} ({subject}) cannot be used: {problem}")]
    BadCertificate { peer: String, subject: String, problem: String },
    #[error("{peer} requires a client certificate")]
    ClientCertificateRequired { peer: String },
    #[error("{peer} refused the client certificate: {alert}")]
    ClientCertificateRefused { peer: String, alert: String },
    #[error("{peer} speaks no HTTP/2 over TLS (ALPN): {answer}")]
    NoHttp2 { peer: String, answer: String },
    #[error("{peer} knows no server of the name {name}")]
    UnknownServerName { peer: String, name: String },
    #[error("{peer} ended the TLS handshake: {alert}")]
    TlsRefused { peer: String, alert: String },
    #[error("no TLS with {peer}: {problem}")]
    TlsBroken { peer: String, problem: String },

    #[error("{peer} speaks TLS, and was spoken to in plaintext")]
    SpeaksTls { peer: String },
    #[error("{peer} speaks HTTP/1.1, not HTTP/2: it answered {heard}")]
    SpeaksHttp1 { peer: String, heard: String },
    #[error("{peer} speaks no HTTP/2: it said {heard}")]
    NotHttp2 { peer: String, heard: String },
    #[error("{peer} closed the connection before it sent its SETTINGS")]
    ClosedBeforeSettings { peer: String },
    #[error("{peer} sent a GOAWAY before its SETTINGS: {reason}")]
    GoAwayBeforeSettings { peer: String, reason: String },
    #[error("{peer} accepted the connection and sent no SETTINGS within {}", HumanDuration(*.after))]
    NoSettings { peer: String, after: Duration },
    #[error("{target} took no call on any connection: {reason}")]
    NoCallTaken { target: String, reason: String },
}

impl ConnectError {
    pub(crate) fn stage(&self) -> Stage {
        match self {
            Self::UnknownHost { .. } | Self::NoNameServer { .. } | Self::LookupTimeout { .. } => {
                Stage::Dns
            }
            Self::Refused { .. }
            | Self::NoSuchSocket { .. }
            | Self::Unreachable { .. }
            | Self::ConnectTimeout { .. }
            | Self::NotOpened { .. } => Stage::Tcp,
            Self::Plaintext { .. }
            | Self::TlsClosed { .. }
            | Self::TlsTimeout { .. }
            | Self::UnknownIssuer { .. }
            | Self::WrongName { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::BadCertificate { .. }
            | Self::ClientCertificateRequired { .. }
            | Self::ClientCertificateRefused { .. }
            | Self::NoHttp2 { .. }
            | Self::UnknownServerName { .. }
            | Self::TlsRefused { .. }
            | Self::TlsBroken { .. } => Stage::Tls,
            Self::SpeaksTls { .. }
            | Self::SpeaksHttp1 { .. }
            | Self::NotHttp2 { .. }
            | Self::ClosedBeforeSettings { .. }
            | Self::GoAwayBeforeSettings { .. }
            | Self::NoSettings { .. }
            | Self::NoCallTaken { .. } => Stage::Http2,
        }
    }

    /// What most likely helps.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::UnknownHost { .. } => "check the host's name in --target",
            Self::NoNameServer { .. } | Self::LookupTimeout { .. } => {
                "check this machine's name servers, or give an address instead of a name"
            }
            Self::Refused { .. } => {
                "nothing listens there: start the server, wait for it with --wait, or correct --target"
            }
            Self::NoSuchSocket { .. } => {
                "start the server, wait for it with --wait, or correct --target"
            }
            Self::Unreachable { .. } => {
                "there is no route from here to that address: check the network, or correct --target"
            }
            Self::ConnectTimeout { .. } => {
                "a firewall that drops packets, or a wrong address; more time with --timeout"
            }
            Self::NotOpened { .. } => "check what lies between here and the address in --target",
            Self::Plaintext { heard, .. } if heard.contains("SSH-") => {
                "it is an SSH server: check the port in --target"
            }
            Self::Plaintext { .. } => {
                "say http:// instead of https:// in --target (dns:/// for dns+https:///), or give the server a certificate"
            }
            Self::TlsClosed { .. } => {
                "a server in plaintext does that too (http://); else its log says why"
            }
            Self::TlsTimeout { .. } => {
                "is it TLS that listens there? if it is plaintext, say http:// in --target"
            }
            Self::UnknownIssuer { .. } => {
                "give the certificate of the CA with --ca-cert; without it the system's CAs count"
            }
            Self::WrongName { .. } => {
                "use one of these names in --target, or say which with --server-name"
            }
            Self::Expired { .. } => {
                "renew it; if that is done, let the server read it again; and is the clock here right?"
            }
            Self::NotYetValid { .. } => "is the clock right, here and where it was signed?",
            Self::BadCertificate { .. } => {
                "have a CA sign one for a server (CA:FALSE, serverAuth); --insecure looks without proof"
            }
            Self::ClientCertificateRequired { .. } => "give one with --cert and --key",
            Self::ClientCertificateRefused { .. } => {
                "it has to be valid, for a client, and signed by a CA that the server trusts"
            }
            Self::NoHttp2 { .. } => {
                "switch HTTP/2 on where TLS ends (ALPN h2): at the server, or at the proxy before it"
            }
            Self::UnknownServerName { .. } => {
                "use a name that it has in --target, or say it with --server-name"
            }
            Self::TlsRefused { .. } => {
                "have both a TLS version and a cipher in common? the server's log says more"
            }
            Self::TlsBroken { .. } => {
                "something between here and the server breaks TLS, or the server itself"
            }
            Self::SpeaksTls { .. } => "say https:// instead of http:// in --target",
            Self::SpeaksHttp1 { .. } => {
                "gRPC needs HTTP/2: is it the right port, or one for https://? a proxy must speak HTTP/2, too"
            }
            Self::NotHttp2 { .. } => {
                "is it a gRPC server that listens there? check the port in --target"
            }
            Self::ClosedBeforeSettings { .. } => {
                "asked with http://, a TLS port does that: try https://; a server that is full does it, too"
            }
            Self::GoAwayBeforeSettings { .. } => {
                "the server takes no connection now: try again later, or elsewhere"
            }
            Self::NoSettings { .. } => {
                "is it a gRPC server, in plaintext or TLS as --target says? or one that is stuck?"
            }
            Self::NoCallTaken { .. } => {
                "the server is leaving, or is full, or takes no --header as large as that; try again, or elsewhere"
            }
        }
    }

    /// One of each, as a document shows it.
    pub(crate) fn examples() -> Vec<ConnectError> {
        let peer = || "PEER".to_owned();
        let host = || "HOST".to_owned();
        let subject = || "CN=NAME".to_owned();
        let text = str::to_owned;
        let after = Duration::from_secs(5);
        vec![
            Self::UnknownHost { host: host(), problem: text("Name or service not known") },
            Self::NoNameServer {
                host: host(),
                problem: text("Temporary failure in name resolution"),
            },
            Self::LookupTimeout { host: host(), after },
            Self::Refused { peer: peer() },
            Self::NoSuchSocket { peer: text("unix:PATH") },
            Self::Unreachable { peer: peer() },
            Self::ConnectTimeout { peer: peer(), after },
            Self::NotOpened { peer: peer(), problem: text("Permission denied (os error 13)") },
            Self::Plaintext { peer: peer(), heard: text("HTTP/2 SETTINGS") },
            Self::TlsClosed { peer: peer() },
            Self::TlsTimeout { peer: peer(), after },
            Self::UnknownIssuer { peer: peer(), subject: subject(), issuer: text("CN=CA") },
            Self::WrongName { peer: peer(), names: text("a.example, b.example"), wanted: host() },
            Self::Expired {
                peer: peer(),
                subject: subject(),
                on: text("2026-01-01T00:00:00Z"),
                ago: text("3 days"),
            },
            Self::NotYetValid {
                peer: peer(),
                subject: subject(),
                from: text("2027-01-01T00:00:00Z"),
                time: text("3 days"),
            },
            Self::BadCertificate {
                peer: peer(),
                subject: subject(),
                problem: text("BadSignature"),
            },
            Self::ClientCertificateRequired { peer: peer() },
            Self::ClientCertificateRefused { peer: peer(), alert: text("UnknownCA") },
            Self::NoHttp2 { peer: peer(), answer: text("it chose no protocol") },
            Self::UnknownServerName { peer: peer(), name: host() },
            Self::TlsRefused { peer: peer(), alert: text("ProtocolVersion") },
            Self::TlsBroken { peer: peer(), problem: text("received corrupt message") },
            Self::SpeaksTls { peer: peer() },
            Self::SpeaksHttp1 { peer: peer(), heard: text("400 Bad Request (server: nginx)") },
            Self::NotHttp2 { peer: peer(), heard: text("\"SSH-2.0-OpenSSH_10.0\"") },
            Self::ClosedBeforeSettings { peer: peer() },
            Self::GoAwayBeforeSettings { peer: peer(), reason: text("ENHANCE_YOUR_CALM") },
            Self::NoSettings { peer: peer(), after },
            Self::NoCallTaken { target: text("TARGET"), reason: text("REFUSED_STREAM") },
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::mem::discriminant;

    use strum::EnumCount as _;

    use super::*;

    #[test]
    fn every_error_has_an_example() {
        let examples = ConnectError::examples();
        let kinds: HashSet<_> = examples.iter().map(discriminant).collect();
        assert_eq!((kinds.len(), examples.len()), (ConnectError::COUNT, ConnectError::COUNT));
    }

    #[test]
    fn examples_are_ordered_by_stage() {
        let stages: Vec<_> = ConnectError::examples().iter().map(ConnectError::stage).collect();
        assert!(stages.is_sorted(), "{stages:?}");
    }
}
