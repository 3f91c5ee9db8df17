//! From PEM files to a rustls configuration: TLS 1.2 and 1.3, HTTP/2 by ALPN and nothing else, and a
//! client's certificate if one is asked for. What is wrong with a file is told with its name.

pub(crate) mod reload;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::{ClientAuth, ClientCa, TlsFiles};

/// HTTP/2 over TLS (RFC 9113, section 3.2).
pub(crate) const ALPN_H2: &[u8] = b"h2";
/// HTTP/1.1 over TLS (RFC 7301, section 6), for gRPC-Web.
const ALPN_HTTP_1: &[u8] = b"http/1.1";

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It is not there, or may not be read.
    #[error("could not read `{}`", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is no PEM, or holds no certificate.
    #[error("`{}` has no usable certificate: {problem}", file.display())]
    Certificate {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It is no PEM, or holds no private key that can be used.
    #[error("`{}` has no usable private key: {problem}", file.display())]
    Key {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificate and key are each fine, and do not belong together.
    #[error("the key in `{}` does not match the certificate in `{}`", key.display(), cert.display())]
    Mismatch {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
}

/// What the files hold, byte for byte: two that are equal make the same configuration.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PemFiles {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl PemFiles {
    pub(crate) fn read(files: &TlsFiles) -> Result<PemFiles, TlsError> {
        let client_ca = files.client_ca.as_ref().map(|ca| read(&ca.file)).transpose()?;
        Ok(PemFiles { cert: read(&files.cert)?, key: read(&files.key)?, client_ca })
    }
}

/// A configuration that connections can be accepted with, and what is known of its certificate.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    /// Hexadecimal, as `openssl x509 -serial` has it.
    pub(crate) serial: String,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl Tls {
    pub(crate) fn new(files: &TlsFiles, material: &PemFiles) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&files.cert, &material.cert)?;
        let leaf = Leaf::read(&chain, &files.cert)?;
        let key = private_key(&files.key, &material.key)?;
        let certified =
            CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() }
                }
                rustls::Error::InvalidCertificate(error) => {
                    TlsError::Certificate { file: files.cert.clone(), problem: error.to_string() }
                }
                error => TlsError::Key { file: files.key.clone(), problem: error.to_string() },
            })?;
        let verifier = match (&files.client_ca, &material.client_ca) {
            (Some(ca), Some(pem)) => client_verifier(ca, pem, &provider)?,
            _ => WebPkiClientVerifier::no_client_auth(),
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the cipher suites of both versions");
        let resolver = rustls::sign::SingleCertAndKey::from(certified);
        let mut config =
            builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        if files.http1 {
            config.alpn_protocols.push(ALPN_HTTP_1.to_vec());
        }
        let Leaf { serial, not_before, not_after } = leaf;
        Ok(Tls { config: Arc::new(config), serial, not_before, not_after })
    }

    /// What clients will object to, although it can be served. `None`: nothing.
    pub(crate) fn validity_problem(&self, now: SystemTime) -> Option<&'static str> {
        if now > self.not_after {
            return Some("the certificate has expired");
        }
        (now < self.not_before).then_some("the certificate is not yet valid")
    }
}

/// What the server's own certificate says of itself.
struct Leaf {
    serial: String,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Leaf {
    fn read(chain: &[CertificateDer<'_>], file: &Path) -> Result<Leaf, TlsError> {
        let leaf = chain.first().map(|leaf| X509Certificate::from_der(leaf));
        let Some(Ok((_, leaf))) = leaf else {
            let problem = "the first one is not X.509".to_owned();
            return Err(TlsError::Certificate { file: file.to_owned(), problem });
        };
        let validity = leaf.validity();
        Ok(Leaf {
            serial: leaf.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect(),
            not_before: validity.not_before.to_datetime().into(),
            not_after: validity.not_after.to_datetime().into(),
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|source| TlsError::Unreadable { file: file.to_owned(), source })
}

fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = |problem: String| TlsError::Certificate { file: file.to_owned(), problem };
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| refuse(error.to_string()))?;
    match chain.is_empty() {
        true => Err(refuse("it has no PEM section CERTIFICATE".to_owned())),
        false => Ok(chain),
    }
}

fn private_key(file: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let problem = match error {
            pem::Error::NoItemsFound if is_encrypted(pem) => {
                "it is encrypted; a daemon has nobody to ask for the passphrase".to_owned()
            }
            pem::Error::NoItemsFound => "it has no PEM section PRIVATE KEY".to_owned(),
            error => error.to_string(),
        };
        TlsError::Key { file: file.to_owned(), problem }
    })
}

/// By PKCS #8 (RFC 5958) or, as it was done before, within the section (RFC 1421).
fn is_encrypted(pem: &[u8]) -> bool {
    let has = |mark: &[u8]| pem.windows(mark.len()).any(|bytes| bytes == mark);
    has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED")
}

fn client_verifier(
    ca: &ClientCa,
    pem: &[u8],
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let refuse = |problem: String| TlsError::Certificate { file: ca.file.clone(), problem };
    let mut roots = RootCertStore::empty();
    for root in certificates(&ca.file, pem)? {
        roots.add(root).map_err(|error| refuse(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = match ca.auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error: VerifierBuilderError| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_out_of_its_time_is_complained_of() {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let files = TlsFiles { cert: "c".into(), key: "k".into(), client_ca: None, http1: false };
        let material =
            PemFiles { cert: cert.pem().into(), key: key.serialize_pem().into(), client_ca: None };
        let tls = Tls::new(&files, &material).unwrap();

        let second = Duration::from_secs(1);
        assert_eq!(
            tls.validity_problem(tls.not_before - second),
            Some("the certificate is not yet valid")
        );
        assert_eq!(tls.validity_problem(tls.not_before), None);
        assert_eq!(tls.validity_problem(tls.not_after), None);
        assert_eq!(
            tls.validity_problem(tls.not_after + second),
            Some("the certificate has expired")
        );
    }
}
