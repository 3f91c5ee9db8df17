//! Builds values of rustls from PEM: a certificate with its private key, and trusted CAs. Errors name
//! the file, and the certificate in it by number.

use std::path::Path;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

use crate::certificate_problem::describe;
use crate::pem;

/// The keys that ring, the provider of both programs, signs with.
const SUPPORTED_KEYS: &str = "RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519";

/// Returns the certificates of the file `cert` with the key of the file `key`.
///
/// # Errors
/// A file is malformed, the key has another type or another certificate, or the certificate that
/// belongs to it is not the first one.
pub fn certified_key(
    cert: &Path,
    cert_pem: &[u8],
    key: &Path,
    key_pem: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let chain = pem::certificates(cert, cert_pem)?;
    let private = pem::private_key(key, key_pem)?;
    let error = match CertifiedKey::from_der(chain.clone(), private.clone_key(), provider) {
        Ok(certified) => return Ok(certified),
        Err(error) => error,
    };
    let (cert_name, key_name) = (cert.display(), key.display());
    Err(match error {
        Error::InconsistentKeys(_) => {
            let mut later = chain.into_iter().skip(1);
            let is_match =
                |der| CertifiedKey::from_der(vec![der], private.clone_key(), provider).is_ok();
            if later.any(is_match) {
                format!(
                    "`{cert_name}` is in the wrong order: the certificate of `{key_name}` is not first"
                )
            } else {
                format!("the key in `{key_name}` does not match the certificate in `{cert_name}`")
            }
        }
        Error::InvalidCertificate(_) => unusable_certificate(cert, 0, &error),
        _ => format!("`{key_name}` has no usable private key: it is not {SUPPORTED_KEYS}"),
    })
}

/// Returns the CAs of a file.
///
/// # Errors
/// The file or one of its certificates is malformed.
pub fn roots(file: &Path, pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in pem::certificates(file, pem)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| unusable_certificate(file, index, &error))?;
    }
    Ok(roots)
}

/// Returns the message for the certificate at `index` of a file.
#[must_use]
pub fn unusable_certificate(file: &Path, index: usize, error: &Error) -> String {
    let problem = match error {
        Error::InvalidCertificate(reason) => describe(reason),
        _ => "it is malformed".to_owned(),
    };
    format!("`{}`: certificate {} cannot be used: {problem}", file.display(), index + 1)
}
