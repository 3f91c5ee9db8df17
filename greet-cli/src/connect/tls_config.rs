//! Builds the TLS configuration from the flags for certificates, names and trust.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, KeyLogFile, RootCertStore};

use super::verifier::RecordingVerifier;

/// HTTP/2 over TLS (RFC 9113, section 3.2), the only protocol that is offered.
pub(crate) const ALPN_H2: &[u8] = b"h2";

/// The trusted CAs, the client certificate and the expected server name.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    identity: Option<Arc<CertifiedKey>>,
    server_name: Option<ServerName<'static>>,
    insecure: bool,
}

impl Tls {
    /// Fails if a file is not readable or malformed.
    pub(crate) fn new(
        ca_cert: Option<&Path>,
        cert_and_key: Option<(&Path, &Path)>,
        server_name: Option<ServerName<'static>>,
        insecure: bool,
    ) -> anyhow::Result<Tls> {
        let provider = Arc::new(ring::default_provider());
        let roots = match ca_cert {
            Some(file) => read_roots(file)?,
            None if insecure => RootCertStore::empty(),
            None => system_roots(),
        };
        let identity = match cert_and_key {
            Some((cert, key)) => Some(Arc::new(read_identity(cert, key, &provider)?)),
            None => None,
        };
        Ok(Tls { provider, roots: Arc::new(roots), identity, server_name, insecure })
    }

    /// Returns the name that the certificate must be valid for, if it is not the target's host.
    pub(crate) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }

    /// Returns the configuration of one handshake, and its verifier. `SSLKEYLOGFILE` names the file
    /// for its keys, which tools such as Wireshark read.
    pub(crate) fn configure(&self) -> (ClientConfig, Arc<RecordingVerifier>) {
        let (provider, identity) = (Arc::clone(&self.provider), self.identity.clone());
        let roots = (!self.insecure).then(|| Arc::clone(&self.roots));
        let verifier = Arc::new(RecordingVerifier::new(Arc::clone(&provider), roots, identity));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has a cipher for each version")
            .dangerous()
            .with_custom_certificate_verifier(Arc::<RecordingVerifier>::clone(&verifier))
            .with_client_cert_resolver(Arc::<RecordingVerifier>::clone(&verifier));
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        config.key_log = Arc::new(KeyLogFile::new());
        (config, verifier)
    }
}

fn read_roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        let added = roots.add(certificate);
        added.with_context(|| format!("`{}` has a malformed certificate", file.display()))?;
    }
    Ok(roots)
}

/// Returns the CAs of the system; those that are not readable are skipped.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn read_certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let name = file.display();
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("could not read certificates from `{name}`"))?;
    anyhow::ensure!(!certificates.is_empty(), "`{name}` has no certificate (expected PEM)");
    Ok(certificates)
}

fn read_identity(
    cert: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> anyhow::Result<CertifiedKey> {
    let chain = read_certificates(cert)?;
    let name = key.display();
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("could not read a private key from `{name}`"))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| {
        let cert = cert.display();
        match error {
            rustls::Error::InconsistentKeys(_) => {
                anyhow::anyhow!("the key in `{name}` does not match the certificate in `{cert}`")
            }
            error => anyhow::anyhow!("`{name}` and `{cert}` cannot be used: {error}"),
        }
    })
}
