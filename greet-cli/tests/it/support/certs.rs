//! Certificates, valid and invalid, as flags and as configurations of rustls.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greet_testkit::certs::{self, IdentityFiles};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

pub(crate) use greet_testkit::certs::LOOPBACK;

/// A CA with a directory for the files that it signs.
pub(crate) struct Ca(certs::Ca);

impl Ca {
    pub(crate) fn new(common_name: &str) -> Ca {
        Ca(certs::Ca::new(common_name))
    }

    /// Creates a CA with this key; `change` may alter its parameters.
    pub(crate) fn with(
        common_name: &str,
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Ca {
        Ca(certs::Ca::with(common_name, key, change))
    }

    /// Creates an intermediate CA that this one signs.
    pub(crate) fn intermediate(&self, common_name: &str) -> Ca {
        Ca(self.0.intermediate(common_name))
    }

    /// Returns the CA's certificate in PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Returns the path of a file in the directory.
    pub(crate) fn file(&self, name: &str) -> String {
        self.0.path(name).display().to_string()
    }

    /// Signs a certificate for loopback.
    pub(crate) fn sign(&self, common_name: &str) -> IdentityFiles {
        self.0.sign_files(common_name)
    }

    /// Signs a certificate for `names`; `change` may alter its parameters.
    pub(crate) fn sign_with(
        &self,
        common_name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> IdentityFiles {
        let files = self.0.files(common_name);
        files.write(&self.0.sign(common_name, names, change));
        files
    }

    /// Returns the flag of a client that trusts this CA.
    pub(crate) fn ca_cert_flag(&self) -> String {
        format!("--ca-cert={}", self.file("ca.pem"))
    }

    /// Returns the flag of a daemon that requires client certificates of this CA.
    pub(crate) fn client_ca_flag(&self) -> String {
        format!("--tls-client-ca={}", self.file("ca.pem"))
    }

    /// Configures a server that requires client certificates of this CA.
    pub(crate) fn mtls_config(
        &self,
        server: &IdentityFiles,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.0.ca_file()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        config(server, &[version], verifier.build().unwrap(), &[b"h2"])
    }
}

/// Configures a server that requires no client certificate.
pub(crate) fn tls_config(server: &IdentityFiles, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    config(server, rustls::ALL_VERSIONS, WebPkiClientVerifier::no_client_auth(), alpn)
}

fn config(
    server: &IdentityFiles,
    versions: &[&'static SupportedProtocolVersion],
    verifier: Arc<dyn ClientCertVerifier>,
    alpn: &[&[u8]],
) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&server.cert).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&server.key).unwrap();
    let key = any_supported_type(&key).unwrap();
    // Without the checks of the builder: a test may want a faulty chain.
    let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(versions).unwrap();
    let builder = builder.with_client_cert_verifier(verifier);
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// Replaces bytes of a certificate's DER, which makes its signature invalid.
pub(crate) fn patch_certificate(file: impl AsRef<Path>, old: &[u8], new: &[u8]) {
    let mut der = CertificateDer::from_pem_file(&file).unwrap().to_vec();
    let is_old = |at: &usize| der[*at..].starts_with(old);
    let places: Vec<_> = (0..der.len()).filter(is_old).collect();
    assert!(!places.is_empty() && old.len() == new.len());
    for at in places {
        der[at..at + new.len()].copy_from_slice(new);
    }
    let base64 = STANDARD.encode(der);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    fs::write(file, pem).unwrap();
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(crate) fn for_clients_only(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

pub(crate) fn expired(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
}

pub(crate) fn not_yet_valid(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2090, 1, 1);
    params.not_after = rcgen::date_time_ymd(2091, 1, 1);
}
