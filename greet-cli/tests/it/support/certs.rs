//! Certificates, valid and invalid, as flags and as configurations of rustls.

use std::sync::Arc;

use greet_testkit::certs::{self, IdentityFiles};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

pub(crate) use greet_testkit::certs::LOOPBACK;

/// A CA with a directory for the files that it signs.
pub(crate) struct Ca(certs::Ca);

impl Ca {
    pub(crate) fn new(common_name: &str) -> Ca {
        Ca(certs::Ca::new(common_name))
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
    let cert = CertificateDer::from_pem_file(&server.cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(&server.key).unwrap();
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(versions).unwrap();
    let builder = builder.with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(vec![cert], key).unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
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
