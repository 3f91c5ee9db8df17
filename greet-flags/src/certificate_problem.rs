//! Describes why a certificate is rejected. rustls has only the names of its reasons, and passes on those
//! of webpki.

use rustls::{CertificateError, ExtendedKeyPurpose};

use crate::words::words;

/// Describes a reason in one phrase about "it", the certificate.
#[must_use]
pub fn describe(reason: &CertificateError) -> String {
    use CertificateError as Reason;
    let phrase = match reason {
        Reason::BadEncoding => "it is malformed",
        Reason::Expired | Reason::ExpiredContext { .. } => "it has expired",
        Reason::NotValidYet | Reason::NotValidYetContext { .. } => "it is not yet valid",
        Reason::Revoked => "it is revoked",
        Reason::UnhandledCriticalExtension => "it has a critical extension that is not supported",
        Reason::UnknownIssuer => "it is not signed by a trusted CA",
        Reason::UnknownRevocationStatus
        | Reason::ExpiredRevocationList
        | Reason::ExpiredRevocationListContext { .. } => "its revocation status is not known",
        Reason::BadSignature => "its signature is not valid",
        Reason::UnsupportedSignatureAlgorithmContext { .. }
        | Reason::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its signature algorithm is not supported"
        }
        Reason::NotValidForName | Reason::NotValidForNameContext { .. } => "it has another name",
        Reason::InvalidPurpose => "it is not for servers",
        Reason::InvalidPurposeContext { presented, .. } => return wrong_purpose(presented),
        Reason::InvalidOcspResponse => "its OCSP response is not valid",
        Reason::ApplicationVerificationFailure => "it is not acceptable",
        Reason::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
            Some(error) => return describe_webpki(error),
            None => "it is not acceptable",
        },
        other => return words(other),
    };
    phrase.to_owned()
}

/// Describes errors that rustls passes on from webpki.
fn describe_webpki(error: &webpki::Error) -> String {
    use webpki::Error;
    let phrase = match error {
        Error::CaUsedAsEndEntity => "it is the certificate of a CA, not of a server",
        Error::EndEntityUsedAsCa => "a certificate that signs another one is not that of a CA",
        Error::NameConstraintViolation => "its CA may not sign a name in it (name constraints)",
        Error::PathLenConstraintViolated => "its chain is longer than a CA in it permits (pathlen)",
        Error::UnsupportedCriticalExtension => "it has a critical extension that is not supported",
        Error::UnsupportedCertVersion => "it is not X.509 version 3",
        Error::MalformedExtensions | Error::ExtensionValueInvalid => "an extension is malformed",
        Error::EmptyEkuExtension => "its extended key usage is empty",
        Error::InvalidSerialNumber => "its serial number is negative or too long",
        Error::SignatureAlgorithmMismatch => "it names two signature algorithms",
        Error::MalformedDnsIdentifier => "a DNS name in it is malformed",
        Error::MalformedNameConstraint | Error::InvalidNetworkMaskConstraint => {
            "the name constraints of its CA are malformed"
        }
        Error::MaximumPathDepthExceeded => "its chain is too long",
        Error::MaximumPathBuildCallsExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => "its chain is too complex",
        other => return words(other),
    };
    phrase.to_owned()
}

fn wrong_purpose(presented: &[ExtendedKeyPurpose]) -> String {
    let purpose = |purpose: &ExtendedKeyPurpose| match purpose {
        ExtendedKeyPurpose::ClientAuth => "clients".to_owned(),
        ExtendedKeyPurpose::ServerAuth => "servers".to_owned(),
        ExtendedKeyPurpose::Other(oid) => {
            oid.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
        }
    };
    let purposes: Vec<_> = presented.iter().map(purpose).collect();
    format!("it is for {}, not for servers (extended key usage)", purposes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_named() {
        let email = ExtendedKeyPurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 4]);
        assert_eq!(
            wrong_purpose(&[ExtendedKeyPurpose::ClientAuth, email]),
            "it is for clients, 1.3.6.1.5.5.7.3.4, not for servers (extended key usage)"
        );
    }
}
