//! Determines why the certificate of a server is rejected. rustls reports which rule failed; the
//! chain and the trusted CAs show what to change.

use std::net::IpAddr;
use std::time::SystemTime;

use greet_flags::certificate_problem::describe;
use rustls::CertificateError;
use x509_parser::asn1_rs::Oid;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificate::{Certificate, distinguished_name, rfc3339};
use super::verifier::{RecordingVerifier, rsa_bits};
use crate::error::ConnectError;

/// Extensions that webpki evaluates; any other one must not be critical.
const SUPPORTED_EXTENSIONS: [&str; 6] =
    ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.37"];
/// ring rejects signatures of shorter keys.
const MIN_RSA_BITS: usize = 2_048;

/// Returns the error for `reason`, or `None` if the certificate cannot be parsed.
pub(super) fn certificate_error(
    reason: &CertificateError,
    verifier: &RecordingVerifier,
    peer: &str,
    wanted: &str,
) -> Option<ConnectError> {
    use CertificateError as Reason;
    let chain: Vec<_> = verifier.chain().iter().map_while(|der| parse(der)).collect();
    let leaf = chain.first()?;
    let certificate = Certificate::new(leaf);
    let (peer, subject) = (peer.to_owned(), certificate.subject.clone());
    let webpki = match reason {
        Reason::Other(other) => other.0.downcast_ref::<webpki::Error>(),
        _ => None,
    };
    let bad = |problem: String| {
        let (peer, subject) = (peer.clone(), subject.clone());
        ConnectError::BadCertificate { peer, subject, problem }
    };
    Some(match reason {
        Reason::UnknownIssuer => unknown_issuer(&chain, verifier, peer),
        Reason::NotValidForName | Reason::NotValidForNameContext { .. } => {
            wrong_name(&certificate, peer, wanted)
        }
        Reason::Expired | Reason::ExpiredContext { .. } => expired(&chain, &peer)
            .unwrap_or_else(|| bad("its validity ends before it begins".into())),
        Reason::NotValidYet | Reason::NotValidYetContext { .. } => {
            not_yet_valid(&chain, &peer).unwrap_or_else(|| bad(describe(reason)))
        }
        Reason::BadSignature => bad_signature(&chain, verifier, peer),
        Reason::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. } => {
            let subject = signed_with(&chain, signature_algorithm_id).unwrap_or(subject);
            let algorithm = algorithm_name(signature_algorithm_id);
            ConnectError::UnsupportedAlgorithm { peer, subject, algorithm }
        }
        Reason::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id,
            public_key_algorithm_id,
        } => {
            let signature = algorithm_name(signature_algorithm_id);
            let key = algorithm_name(public_key_algorithm_id);
            if is_other_family(&signature, &key) {
                return Some(bad_signature(&chain, verifier, peer));
            }
            let subject = signed_with(&chain, signature_algorithm_id).unwrap_or(subject);
            let algorithm = format!("{signature} by a key of type {key}");
            ConnectError::UnsupportedAlgorithm { peer, subject, algorithm }
        }
        _ => match webpki {
            Some(webpki::Error::UnsupportedCriticalExtension) => {
                let (subject, extension) = unsupported_extension(&chain)
                    .unwrap_or_else(|| (subject, "unknown".to_owned()));
                ConnectError::UnsupportedExtension { peer, subject, extension }
            }
            Some(webpki::Error::NameConstraintViolation) => {
                ConnectError::NameNotPermitted { peer, subject }
            }
            Some(webpki::Error::CaUsedAsEndEntity)
                if chain.iter().any(|certificate| !certificate.is_ca()) =>
            {
                ConnectError::ChainOutOfOrder { peer, subject }
            }
            _ => bad(describe(reason)),
        },
    })
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// Returns the issuer of a certificate in the chain, by name.
fn issuer<'a>(
    certificate: &X509Certificate<'_>,
    chain: &'a [X509Certificate<'a>],
) -> Option<&'a X509Certificate<'a>> {
    let is_issuer = |other: &&X509Certificate<'_>| other.subject == certificate.issuer;
    chain.iter().find(is_issuer).filter(|other| other.subject != certificate.subject)
}

/// Returns the certificates from the server's own up to the last whose issuer was sent.
fn path<'a>(chain: &'a [X509Certificate<'a>]) -> Vec<&'a X509Certificate<'a>> {
    let next = |certificate: &&'a X509Certificate<'a>| issuer(certificate, chain);
    // Two certificates can name each other as issuer.
    std::iter::successors(chain.first(), next).take(chain.len()).collect()
}

fn unknown_issuer(
    chain: &[X509Certificate<'_>],
    verifier: &RecordingVerifier,
    peer: String,
) -> ConnectError {
    let path = path(chain);
    let last = path[path.len() - 1];
    let (subject, issuer) = (distinguished_name(&last.subject), distinguished_name(&last.issuer));
    if verifier.trusts_nothing() {
        ConnectError::NoTrustedCa { peer }
    } else if last.subject != last.issuer {
        ConnectError::MissingIssuer { peer, subject, issuer }
    } else if path.len() == 1 {
        ConnectError::SelfSigned { peer, subject }
    } else {
        ConnectError::UnknownIssuer { peer, subject: distinguished_name(&path[0].subject), issuer }
    }
}

fn bad_signature(
    chain: &[X509Certificate<'_>],
    verifier: &RecordingVerifier,
    peer: String,
) -> ConnectError {
    let keys = chain.iter().flat_map(|certificate| {
        let subject = (&certificate.subject, rsa_bits(certificate.public_key()));
        [subject, (&certificate.issuer, verifier.trusted_rsa_bits(&certificate.issuer))]
    });
    let mut keys = keys.filter_map(|(name, bits)| Some((distinguished_name(name), bits?)));
    if let Some((subject, bits)) = keys.find(|(_, bits)| *bits < MIN_RSA_BITS) {
        let algorithm = format!("an RSA key of {bits} bits");
        return ConnectError::UnsupportedAlgorithm { peer, subject, algorithm };
    }
    if verifier.has_accepted_certificate() {
        let problem = "the server does not have the key of its certificate".to_owned();
        return ConnectError::TlsFailed { peer, problem };
    }
    let path = path(chain);
    let is_broken = |certificate: &&&X509Certificate<'_>| match issuer(certificate, chain) {
        Some(issuer) => !verifier.is_signed_by(certificate, issuer),
        None => true, // the issuer is a trusted CA
    };
    let certificate = path.iter().find(is_broken).unwrap_or(&path[0]);
    let subject = distinguished_name(&certificate.subject);
    ConnectError::BadSignature { peer, subject, issuer: distinguished_name(&certificate.issuer) }
}

fn wrong_name(certificate: &Certificate, peer: String, wanted: &str) -> ConnectError {
    let wanted = wanted.to_owned();
    let Certificate { subject, names, .. } = certificate;
    if names.is_empty() {
        return ConnectError::NoNames { peer, subject: subject.clone() };
    }
    // The address would match if it were an IP name.
    if wanted.parse::<IpAddr>().is_ok() && names.contains(&wanted) {
        return ConnectError::AddressAsDnsName { peer, wanted };
    }
    let lower = wanted.to_ascii_lowercase();
    let is_wildcard_of_wanted = |name: &&String| {
        let name = name.to_ascii_lowercase();
        let parent = name.strip_prefix("*.");
        parent.is_some_and(|parent| lower == parent || lower.ends_with(&format!(".{parent}")))
    };
    match names.iter().find(is_wildcard_of_wanted) {
        Some(wildcard) => {
            ConnectError::WildcardMismatch { peer, wildcard: wildcard.clone(), wanted }
        }
        None => ConnectError::WrongName { peer, names: certificate.joined_names(), wanted },
    }
}

/// Any certificate of the chain may be the expired one.
fn expired(chain: &[X509Certificate<'_>], peer: &str) -> Option<ConnectError> {
    let now = SystemTime::now();
    let certificates = chain.iter().map(Certificate::new);
    let Certificate { subject, not_after, .. } =
        certificates.into_iter().find(|it| it.not_after < now)?;
    let (on, ago) = (rfc3339(not_after), between(not_after, now));
    Some(ConnectError::Expired { peer: peer.to_owned(), subject, on, ago })
}

fn not_yet_valid(chain: &[X509Certificate<'_>], peer: &str) -> Option<ConnectError> {
    let now = SystemTime::now();
    let mut certificates = chain.iter().map(Certificate::new);
    let Certificate { subject, not_before, .. } = certificates.find(|it| it.not_before > now)?;
    let (from, time) = (rfc3339(not_before), between(now, not_before));
    Some(ConnectError::NotYetValid { peer: peer.to_owned(), subject, from, time })
}

fn between(from: SystemTime, to: SystemTime) -> String {
    const SECONDS_A_DAY: u64 = 24 * 60 * 60;
    match to.duration_since(from).unwrap_or_default().as_secs() {
        seconds @ ..SECONDS_A_DAY => format!("{} minutes", seconds / 60),
        seconds => format!("{} days", seconds / SECONDS_A_DAY),
    }
}

/// Returns the subject of the first certificate with such a signature.
fn signed_with(chain: &[X509Certificate<'_>], algorithm_id: &[u8]) -> Option<String> {
    let (_, oid) = Oid::from_der(algorithm_id).ok()?;
    let signed =
        chain.iter().find(|certificate| certificate.signature_algorithm.algorithm == oid)?;
    Some(distinguished_name(&signed.subject))
}

/// Returns the subject and the extension.
fn unsupported_extension(chain: &[X509Certificate<'_>]) -> Option<(String, String)> {
    chain.iter().find_map(|certificate| {
        let mut critical = certificate.extensions().iter().filter(|extension| extension.critical);
        let oid = critical.find_map(|extension| {
            let oid = extension.oid.to_id_string();
            (!SUPPORTED_EXTENSIONS.contains(&oid.as_str())).then_some(oid)
        })?;
        Some((distinguished_name(&certificate.subject), extension_name(oid)))
    })
}

/// Adds the name of extensions that CAs issue (RFC 5280, section 4.2).
fn extension_name(oid: String) -> String {
    let name = match oid.as_str() {
        "2.5.29.32" => "certificatePolicies",
        "2.5.29.33" => "policyMappings",
        "2.5.29.36" => "policyConstraints",
        "2.5.29.54" => "inhibitAnyPolicy",
        "1.3.6.1.5.5.7.1.24" => "tlsfeature, OCSP must-staple",
        _ => return oid,
    };
    format!("{oid} ({name})")
}

/// Names an algorithm by its identifier in DER (without the header of the sequence).
fn algorithm_name(algorithm_id: &[u8]) -> String {
    let Ok((parameters, oid)) = Oid::from_der(algorithm_id) else {
        return "unknown".to_owned();
    };
    let oid = oid.to_id_string();
    let name = match oid.as_str() {
        "1.2.840.113549.1.1.1" => "RSA",
        "1.2.840.113549.1.1.4" => "RSA with MD5",
        "1.2.840.113549.1.1.5" => "RSA with SHA-1",
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA with SHA-256",
        "1.2.840.113549.1.1.12" => "RSA with SHA-384",
        "1.2.840.113549.1.1.13" => "RSA with SHA-512",
        "1.2.840.113549.1.1.14" => "RSA with SHA-224",
        "1.2.840.10045.4.1" => "ECDSA with SHA-1",
        "1.2.840.10045.4.3.1" => "ECDSA with SHA-224",
        "1.2.840.10045.4.3.2" => "ECDSA with SHA-256",
        "1.2.840.10045.4.3.3" => "ECDSA with SHA-384",
        "1.2.840.10045.4.3.4" => "ECDSA with SHA-512",
        "1.2.840.10045.2.1" => return curve_name(parameters),
        "1.2.840.10040.4.1" => "DSA",
        "1.2.840.10040.4.3" => "DSA with SHA-1",
        "2.16.840.1.101.3.4.3.2" => "DSA with SHA-256",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        _ => return oid,
    };
    name.to_owned()
}

/// Returns whether a key of this kind cannot have made such a signature, so that the key is that of
/// another CA. An algorithm without a name is only unsupported.
fn is_other_family(signature: &str, key: &str) -> bool {
    let family = |name: &str| name.split([' ', '-']).next().map(str::to_owned);
    let is_named = |name: &str| name.starts_with(|first: char| first.is_ascii_uppercase());
    is_named(signature) && is_named(key) && family(signature) != family(key)
}

/// Names the curve of an ECDSA key.
fn curve_name(parameters: &[u8]) -> String {
    let Ok((_, oid)) = Oid::from_der(parameters) else {
        return "ECDSA".to_owned();
    };
    let oid = oid.to_id_string();
    let curve = match oid.as_str() {
        "1.2.840.10045.3.1.7" => "P-256",
        "1.3.132.0.33" => "P-224",
        "1.3.132.0.34" => "P-384",
        "1.3.132.0.35" => "P-521",
        "1.3.132.0.10" => "secp256k1",
        other => other,
    };
    format!("ECDSA on {curve}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_have_names_users_know() {
        let sha1 = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0];
        assert_eq!(algorithm_name(&sha1), "RSA with SHA-1");
        let ec_public_key = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
        let p521 = [6, 5, 0x2b, 0x81, 4, 0, 35];
        assert_eq!(algorithm_name(&[&ec_public_key[..], &p521].concat()), "ECDSA on P-521");
        assert_eq!(algorithm_name(&p521), "1.3.132.0.35", "not an algorithm");
        assert_eq!(algorithm_name(b""), "unknown");
    }

    #[test]
    fn key_of_other_family_is_that_of_another_ca() {
        assert!(is_other_family("ECDSA with SHA-256", "RSA"));
        assert!(is_other_family("ECDSA with SHA-256", "Ed25519"));
        assert!(!is_other_family("RSA-PSS", "RSA"));
        assert!(!is_other_family("ECDSA with SHA-256", "ECDSA on P-521"));
        assert!(!is_other_family("ECDSA with SHA-256", "1.2.3"), "not known");
    }
}
