//! Certificates as files and as values of rustls.

use std::fs;
use std::path::PathBuf;

use greet_testkit::certs::{Ca, Identity, IdentityFiles};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A directory with `cert.pem` and `key.pem`.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new(identity: &Identity) -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        files.write(identity);
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, identity: &Identity) {
        IdentityFiles::in_directory(self.0.path()).write(identity);
    }

    /// Writes a file and returns its path.
    pub(crate) fn put(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    pub(crate) fn flags(&self) -> [String; 2] {
        IdentityFiles::in_directory(self.0.path()).server_flags()
    }
}

/// Returns the root certificates of a client that trusts this CA.
pub(crate) fn roots(ca: &Ca) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    roots
}

/// Returns a client's certificate and key.
pub(crate) fn pair(identity: &Identity) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let cert = CertificateDer::from_pem_slice(identity.cert_pem.as_bytes()).unwrap();
    (cert, PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap())
}
