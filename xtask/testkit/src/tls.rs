//! Certificates as values of rustls, for the TLS clients of tests.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::certs::{Ca, Identity};

impl Ca {
    /// Returns the root certificates of a peer that trusts this CA.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        roots
    }
}

impl Identity {
    /// Returns the certificate and its key.
    pub fn pair(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let cert = CertificateDer::from_pem_slice(self.cert_pem.as_bytes()).unwrap();
        (cert, PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).unwrap())
    }
}
