//! Invalid certificates, and configurations of rustls for servers.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greet_testkit::certs::{Ca, IdentityFiles};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, SupportedProtocolVersion};

/// Configures a server that requires client certificates of `ca`.
pub(crate) fn mtls_config(
    ca: &Ca,
    server: &IdentityFiles,
    version: &'static SupportedProtocolVersion,
) -> Arc<ServerConfig> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(ca.roots()), provider());
    config(server, &[version], verifier.build().unwrap(), &[b"h2"])
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
