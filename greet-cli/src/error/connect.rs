//! Failures of connecting, each with its cause and a hint. `docs/errors.md` lists them all.

use std::time::Duration;

use super::Stage;
use crate::format::HumanDuration;

/// A failure to connect. Nothing of the call was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(test, derive(strum::EnumCount))]
pub(crate) enum ConnectError {
    #[error("could not look up {host}: {problem}")]
    UnknownHost { host: String, problem: String },
    #[error("could not look up {host}: {problem}")]
    NoNameServer { host: String, problem: String },
    #[error("could not look up {host}: no answer from the name server within {}", HumanDuration(*.after))]
    LookupTimeout { host: String, after: Duration },

    #[error("could not connect to {peer}: connection refused")]
    Refused { peer: String },
    #[error("could not connect to {peer}: no such socket")]
    NoSuchSocket { peer: String },
    #[error("could not connect to {peer}: network or host unreachable")]
    Unreachable { peer: String },
    #[error("could not connect to {peer}: no answer within {}", HumanDuration(*.after))]
    ConnectTimeout { peer: String, after: Duration },
    #[error("could not connect to {peer}: {problem}")]
    ConnectFailed { peer: String, problem: String },

    #[error("{peer} does not use TLS: it sent {received}")]
    Plaintext { peer: String, received: String },
    #[error("{peer} closed the connection during the TLS handshake")]
    TlsClosed { peer: String },
    #[error("{peer} did not answer the TLS handshake within {}", HumanDuration(*.after))]
    TlsTimeout { peer: String, after: Duration },
    #[error(
        "the certificate of {peer} ({subject}) is signed by {issuer}, which is not a trusted CA"
    )]
    UnknownIssuer { peer: String, subject: String, issuer: String },
    #[error("the certificate of {peer} is valid for {names}, not for {wanted}")]
    WrongName { peer: String, names: String, wanted: String },
    #[error("the certificate of {peer} ({subject}) expired on {on}, {ago} ago")]
    Expired { peer: String, subject: String, on: String, ago: String },
    #[error("the certificate of {peer} ({subject}) is not valid until {from}, in {time}")]
    NotYetValid { peer: String, subject: String, from: String, time: String },
    #[error("the certificate of {peer} ({subject}) is invalid: {problem}")]
    BadCertificate { peer: String, subject: String, problem: String },
    #[error("{peer} requires a client certificate")]
    ClientCertificateRequired { peer: String },
    #[error("{peer} rejected the client certificate: {alert}")]
    ClientCertificateRejected { peer: String, alert: String },
    #[error("{peer} did not negotiate HTTP/2 (ALPN): {answer}")]
    NoHttp2 { peer: String, answer: String },
    #[error("{peer} does not serve the name {name}")]
    UnknownServerName { peer: String, name: String },
    #[error("{peer} rejected the TLS handshake: {alert}")]
    TlsRejected { peer: String, alert: String },
    #[error("TLS error on the connection to {peer}: {problem}")]
    TlsFailed { peer: String, problem: String },

    #[error("{peer} expects TLS, but the connection is plaintext")]
    ExpectsTls { peer: String },
    #[error("{peer} uses HTTP/1.1, not HTTP/2: it sent {received}")]
    Http1 { peer: String, received: String },
    #[error("{peer} does not use HTTP/2: it sent {received}")]
    NotHttp2 { peer: String, received: String },
    #[error("{peer} closed the connection before its SETTINGS")]
    ClosedBeforeSettings { peer: String },
    #[error("{peer} sent GOAWAY before its SETTINGS: {reason}")]
    GoAwayBeforeSettings { peer: String, reason: String },
    #[error("{peer} accepted the connection, but sent no SETTINGS within {}", HumanDuration(*.after))]
    NoSettings { peer: String, after: Duration },
    #[error("{target} refused the call on every connection: {reason}")]
    CallRejected { target: String, reason: String },
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
            | Self::ConnectFailed { .. } => Stage::Tcp,
            Self::Plaintext { .. }
            | Self::TlsClosed { .. }
            | Self::TlsTimeout { .. }
            | Self::UnknownIssuer { .. }
            | Self::WrongName { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::BadCertificate { .. }
            | Self::ClientCertificateRequired { .. }
            | Self::ClientCertificateRejected { .. }
            | Self::NoHttp2 { .. }
            | Self::UnknownServerName { .. }
            | Self::TlsRejected { .. }
            | Self::TlsFailed { .. } => Stage::Tls,
            Self::ExpectsTls { .. }
            | Self::Http1 { .. }
            | Self::NotHttp2 { .. }
            | Self::ClosedBeforeSettings { .. }
            | Self::GoAwayBeforeSettings { .. }
            | Self::NoSettings { .. }
            | Self::CallRejected { .. } => Stage::Http2,
        }
    }

    /// Returns what most likely helps.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::UnknownHost { .. } => "check the host name in --target",
            Self::NoNameServer { .. } | Self::LookupTimeout { .. } => {
                "check the DNS configuration of this machine, or use an IP address"
            }
            Self::Refused { .. } | Self::NoSuchSocket { .. } => {
                "start the server, wait for it with --wait, or correct --target"
            }
            Self::Unreachable { .. } => "check the route to this address, or correct --target",
            Self::ConnectTimeout { .. } => "check the address and firewalls, or raise --timeout",
            Self::ConnectFailed { .. } => {
                "check --target, and the permissions and limits of this process"
            }
            Self::Plaintext { received, .. } if received.contains("SSH-") => {
                "this is an SSH server: check the port in --target"
            }
            Self::Plaintext { .. } => {
                "use http:// in --target (dns:/// for dns+https:///), or enable TLS on the server"
            }
            Self::TlsClosed { .. } => {
                "use http:// in --target if the server has no TLS; if it has, see its log"
            }
            Self::TlsTimeout { .. } => "use http:// in --target if the server has no TLS",
            Self::UnknownIssuer { .. } => {
                "pass the CA certificate with --ca-cert; the default is the system's trust store"
            }
            Self::WrongName { .. } => "use one of these names in --target or --server-name",
            Self::Expired { .. } => {
                "renew the certificate and reload the server, or correct the clock of this machine"
            }
            Self::NotYetValid { .. } => "check the clocks of this machine and of the CA",
            Self::BadCertificate { .. } => {
                "issue a server certificate (CA:FALSE, serverAuth); --insecure skips the verification"
            }
            Self::ClientCertificateRequired { .. } => "pass one with --cert and --key",
            Self::ClientCertificateRejected { .. } => {
                "use a valid client certificate, signed by a CA that the server trusts"
            }
            Self::NoHttp2 { .. } => {
                "enable HTTP/2 (ALPN h2) where TLS ends: on the server, or on the proxy in front of it"
            }
            Self::UnknownServerName { .. } => {
                "use one of the server's names in --target or --server-name"
            }
            Self::TlsRejected { .. } => {
                "check that both sides share a TLS version and a cipher suite; see the server's log"
            }
            Self::TlsFailed { .. } => "check the server, and the proxies in front of it",
            Self::ExpectsTls { .. } => "use https:// instead of http:// in --target",
            Self::Http1 { .. } => {
                "check the port, try https://, or enable HTTP/2 on the proxy in front of the server"
            }
            Self::NotHttp2 { .. } => "check that a gRPC server listens on the port in --target",
            Self::ClosedBeforeSettings { .. } => {
                "try https:// if the port expects TLS; a server at its connection limit closes, too"
            }
            Self::GoAwayBeforeSettings { .. } => {
                "the server accepts no connections now: retry later, or use another server"
            }
            Self::NoSettings { .. } => {
                "check the port, and http:// or https://, in --target; the server may be stuck"
            }
            Self::CallRejected { .. } => {
                "the server is shutting down, at a limit, or rejects a large --header: retry later"
            }
        }
    }

    /// Returns an example of each variant.
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
            Self::ConnectFailed { peer: peer(), problem: text("Permission denied (os error 13)") },
            Self::Plaintext { peer: peer(), received: text("HTTP/2 SETTINGS") },
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
            Self::ClientCertificateRejected { peer: peer(), alert: text("UnknownCA") },
            Self::NoHttp2 { peer: peer(), answer: text("it chose no protocol") },
            Self::UnknownServerName { peer: peer(), name: host() },
            Self::TlsRejected { peer: peer(), alert: text("ProtocolVersion") },
            Self::TlsFailed { peer: peer(), problem: text("received corrupt message") },
            Self::ExpectsTls { peer: peer() },
            Self::Http1 { peer: peer(), received: text("400 Bad Request (server: nginx)") },
            Self::NotHttp2 { peer: peer(), received: text("\"SSH-2.0-OpenSSH_10.0\"") },
            Self::ClosedBeforeSettings { peer: peer() },
            Self::GoAwayBeforeSettings { peer: peer(), reason: text("ENHANCE_YOUR_CALM") },
            Self::NoSettings { peer: peer(), after },
            Self::CallRejected { target: text("TARGET"), reason: text("REFUSED_STREAM") },
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
