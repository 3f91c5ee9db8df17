//! Certificates as files and as rustls takes them.

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

/// The trust of a client that knows this CA.
pub(crate) fn roots(ca: &Ca) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    roots
}

/// The certificate and key of a client.
pub(crate) fn pair(identity: &Identity) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let cert = CertificateDer::from_pem_slice(identity.cert_pem.as_bytes()).unwrap();
    (cert, PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap())
}
