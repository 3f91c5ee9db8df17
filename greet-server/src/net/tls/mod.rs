//! Builds the rustls configuration from PEM files: TLS 1.2 and 1.3, the protocols for ALPN, and the
//! verification of client certificates. Errors name the file.

pub(crate) mod reload;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use greet_flags::identity::{self, certified_key, unusable_certificate};
use greet_flags::pem;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error, ServerConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::{ClientAuth, ClientCa, TlsFiles};

/// HTTP/2 over TLS (RFC 9113, section 3.2).
pub(crate) const ALPN_H2: &[u8] = b"h2";
/// HTTP/1.1 over TLS (RFC 7301, section 6), for gRPC-Web.
const ALPN_HTTP_1: &[u8] = b"http/1.1";

/// A TLS file that cannot be used. The message names the file and the problem.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// The contents of the files. Equal contents make the same configuration.
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

/// The configuration for new connections, and the fields of its certificate for logs and metrics.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    /// Hexadecimal, as `openssl x509 -serial` prints it.
    pub(crate) serial: String,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl Tls {
    pub(crate) fn new(files: &TlsFiles, pem: &PemFiles) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let certified = certified_key(&files.cert, &pem.cert, &files.key, &pem.key, &provider)
            .map_err(TlsError)?;
        let leaf = leaf(&certified.cert, &files.cert)?;
        let serial = leaf.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect();
        let not_before = leaf.validity().not_before.to_datetime().into();
        let not_after = leaf.validity().not_after.to_datetime().into();
        let verifier = match (&files.client_ca, &pem.client_ca) {
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
        Ok(Tls { config: Arc::new(config), serial, not_before, not_after })
    }

    /// Returns why clients will reject the certificate at `now`, although it can be served.
    pub(crate) fn validity_problem(&self, now: SystemTime) -> Option<&'static str> {
        if now > self.not_after {
            return Some("the certificate has expired");
        }
        (now < self.not_before).then_some("the certificate is not yet valid")
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    pem::read_file(file).map_err(TlsError)
}

/// Returns the server's own certificate.
fn leaf<'a>(chain: &'a [CertificateDer<'_>], file: &Path) -> Result<X509Certificate<'a>, TlsError> {
    let leaf = chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
    let leaf = leaf.map(|(_, leaf)| leaf);
    leaf.ok_or_else(|| {
        let error = Error::InvalidCertificate(CertificateError::BadEncoding);
        TlsError(unusable_certificate(file, 0, &error))
    })
}

fn client_verifier(
    ca: &ClientCa,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = identity::roots(&ca.file, pem).map_err(TlsError)?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = match ca.auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    let no_roots = |error| TlsError(format!("`{}` cannot be used: {error}", ca.file.display()));
    builder.build().map_err(no_roots)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn certificate_has_a_problem_outside_its_validity_period() {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let files = TlsFiles { cert: "c".into(), key: "k".into(), client_ca: None, http1: false };
        let pem =
            PemFiles { cert: cert.pem().into(), key: key.serialize_pem().into(), client_ca: None };
        let tls = Tls::new(&files, &pem).unwrap();

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
