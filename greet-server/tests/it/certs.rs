//! Throw-away certificates: a CA, and what it signs.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Signs certificates for `localhost`.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    pub(crate) cert: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Ca {
    pub(crate) fn new() -> Ca {
        Ca::named("Greet Test CA")
    }

    pub(crate) fn named(name: &str) -> Ca {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn sign(&self, serial: u64) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Identity {
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
            cert: cert.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

/// Files in a directory of their own, and the flags that name them.
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
        write_identity(self.0.path(), identity);
    }

    pub(crate) fn put(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    pub(crate) fn flags(&self) -> [String; 2] {
        ["cert", "key"]
            .map(|kind| format!("--tls-{kind}={}", self.path(&format!("{kind}.pem")).display()))
    }
}

pub(crate) fn write_identity(directory: &Path, identity: &Identity) {
    fs::write(directory.join("cert.pem"), &identity.cert_pem).unwrap();
    fs::write(directory.join("key.pem"), &identity.key_pem).unwrap();
}
