//! Certificates, valid and invalid, as flags name them and as rustls takes them.

use std::sync::Arc;

use greet_testkit::certs;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// A CA, and the files that it signs in a directory of its own.
pub(crate) struct Ca(certs::Ca);

impl Ca {
    pub(crate) fn new(name: &str) -> Ca {
        Ca(certs::Ca::new(name))
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.path(name).display().to_string()
    }

    /// Signs a certificate for `names` as `NAME.pem` and `NAME.key`.
    pub(crate) fn sign(
        &self,
        name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) {
        self.0.files(name).write(&self.0.sign(name, names, change));
    }

    /// The flags of a daemon with the certificate `NAME.pem`.
    pub(crate) fn of(&self, name: &str) -> [String; 2] {
        self.0.files(name).server_flags()
    }

    /// The flags of a client with it.
    pub(crate) fn client(&self, name: &str) -> [String; 2] {
        self.0.files(name).client_flags()
    }

    /// The flag of a client that trusts this CA.
    pub(crate) fn trusted(&self) -> String {
        format!("--ca-cert={}", self.file("ca.pem"))
    }

    /// A server's configuration with the certificate `NAME.pem`.
    pub(crate) fn config(&self, name: &str, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        self.server_config(name, rustls::ALL_VERSIONS, None, alpn)
    }

    /// The same for TLS 1.2 alone, with client certificates required.
    pub(crate) fn old_config(&self, name: &str) -> Arc<ServerConfig> {
        self.mtls_config(name, &rustls::version::TLS12)
    }

    /// Requires client certificates of this CA.
    pub(crate) fn mtls_config(
        &self,
        name: &str,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ServerConfig> {
        let mut clients = RootCertStore::empty();
        clients.add(CertificateDer::from_pem_file(self.0.ca_file()).unwrap()).unwrap();
        self.server_config(name, &[version], Some(clients), &[b"h2"])
    }

    fn server_config(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<RootCertStore>,
        alpn: &[&[u8]],
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let files = self.0.files(name);
        let cert = CertificateDer::from_pem_file(files.cert).unwrap();
        let key = PrivateKeyDer::from_pem_file(files.key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(roots) => config.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .unwrap(),
            ),
        };
        let mut config = config.with_single_cert(vec![cert], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
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
