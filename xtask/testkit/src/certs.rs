//! Certificates for a test: a CA and the identities that it signs, as values and as files.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SerialNumber,
};
use tempfile::TempDir;

/// The names of a certificate for this machine.
pub const LOOPBACK: [&str; 2] = ["localhost", "127.0.0.1"];

/// A CA and a temporary directory for files; its own certificate is `ca.pem` there.
#[derive(Debug)]
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate and its key, in PEM.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub cert_pem: String,
    /// The private key.
    pub key_pem: String,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    /// The certificate.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A temporary directory with `cert.pem` and `key.pem`, which a test replaces.
#[derive(Debug)]
pub struct IdentityDirectory(TempDir);

impl Ca {
    /// Creates a CA with this common name.
    pub fn new(common_name: &str) -> Ca {
        Ca::with(common_name, KeyPair::generate().unwrap(), |_| {})
    }

    /// Creates a CA with this key; `change` may alter its parameters.
    pub fn with(
        common_name: &str,
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Ca {
        let mut params = ca_params(common_name);
        change(&mut params);
        Ca::from_issuer(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Creates an intermediate CA that this one signs.
    pub fn intermediate(&self, common_name: &str) -> Ca {
        let (params, key) = (ca_params(common_name), KeyPair::generate().unwrap());
        Ca::from_issuer(CertifiedIssuer::signed_by(params, key, &self.issuer).unwrap())
    }

    fn from_issuer(issuer: CertifiedIssuer<'static, KeyPair>) -> Ca {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Ca { issuer, directory }
    }

    /// Returns the directory for files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the path of a file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Returns the path of the CA's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Returns the CA's certificate in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Signs a certificate for loopback, by name and by address, with this serial number.
    pub fn sign_serial(&self, serial: u64) -> Identity {
        self.sign("localhost", &LOOPBACK, |params| {
            params.serial_number = Some(SerialNumber::from(serial));
        })
    }

    /// Signs a certificate for `names`; `change` may alter its parameters.
    pub fn sign(
        &self,
        common_name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = named(common_name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Identity { cert_pem: cert.pem(), key_pem: key.serialize_pem() }
    }

    /// Signs a certificate for loopback and writes it as `NAME.pem` and `NAME.key`.
    pub fn sign_files(&self, name: &str) -> IdentityFiles {
        self.sign_files_with(name, &LOOPBACK, |_| {})
    }

    /// Signs a certificate for `names` and writes it as `COMMON_NAME.pem` and `COMMON_NAME.key`;
    /// `change` may alter its parameters.
    pub fn sign_files_with(
        &self,
        common_name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> IdentityFiles {
        let files = self.files(common_name);
        files.write(&self.sign(common_name, names, change));
        files
    }

    /// Returns the flag of a greet-cli that trusts this CA.
    pub fn ca_cert_flag(&self) -> String {
        format!("--ca-cert={}", self.ca_file().display())
    }

    /// Returns the flag of a greet-server that requires client certificates of this CA.
    pub fn client_ca_flag(&self) -> String {
        format!("--tls-client-ca={}", self.ca_file().display())
    }

    /// Returns the paths of `NAME.pem` and `NAME.key`.
    pub fn files(&self, name: &str) -> IdentityFiles {
        IdentityFiles {
            cert: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        }
    }
}

impl IdentityFiles {
    /// Returns the paths of `cert.pem` and `key.pem` in a directory.
    pub fn in_directory(directory: &Path) -> IdentityFiles {
        IdentityFiles { cert: directory.join("cert.pem"), key: directory.join("key.pem") }
    }

    /// Writes both files.
    pub fn write(&self, identity: &Identity) {
        fs::write(&self.cert, &identity.cert_pem).unwrap();
        fs::write(&self.key, &identity.key_pem).unwrap();
    }

    /// Writes the certificate and the key into one file, as HAProxy reads them.
    pub fn combine(&self, file: &Path) {
        let pem = [&self.cert, &self.key].map(|part| fs::read_to_string(part).unwrap());
        fs::write(file, pem.concat()).unwrap();
    }

    /// Returns the flags of a greet-server with this certificate.
    pub fn server_flags(&self) -> [String; 2] {
        [format!("--tls-cert={}", self.cert.display()), format!("--tls-key={}", self.key.display())]
    }

    /// Returns the flags of a greet-cli with this certificate.
    pub fn client_flags(&self) -> [String; 2] {
        [format!("--cert={}", self.cert.display()), format!("--key={}", self.key.display())]
    }
}

impl IdentityDirectory {
    /// Creates a directory with the files of `identity`.
    pub fn new(identity: &Identity) -> IdentityDirectory {
        let directory = IdentityDirectory(tempfile::tempdir().unwrap());
        directory.write(identity);
        directory
    }

    /// Writes both files.
    pub fn write(&self, identity: &Identity) {
        self.files().write(identity);
    }

    /// Returns the paths of both files.
    pub fn files(&self) -> IdentityFiles {
        IdentityFiles::in_directory(self.0.path())
    }

    /// Returns the path of a file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and returns its path.
    pub fn put(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    /// Returns the flags of a greet-server with this certificate.
    pub fn server_flags(&self) -> [String; 2] {
        self.files().server_flags()
    }
}

fn ca_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = named(common_name);
    params
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}
