//! Throw-away certificates, made when a scenario begins and gone when it ends; none is committed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SerialNumber,
};
use tempfile::TempDir;

/// A CA, and a directory for what it signs.
pub(crate) struct Certs {
    ca: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certs {
    /// A CA of this name; its certificate lies in `ca.pem`.
    pub(crate) fn new(name: &str) -> anyhow::Result<Certs> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("ca.pem"), ca.pem())?;
        Ok(Certs { ca, directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory().join("ca.pem")
    }

    /// A certificate for loopback by name and by address, in a directory of its own.
    pub(crate) fn sign(&self, serial: u64) -> anyhow::Result<Identity> {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names)?;
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.ca)?;
        let directory = self.directory().join(serial.to_string());
        fs::create_dir(&directory).context("a serial number is signed once")?;
        let identity =
            Identity { cert: directory.join("cert.pem"), key: directory.join("key.pem") };
        fs::write(&identity.cert, cert.pem())?;
        fs::write(&identity.key, key.serialize_pem())?;
        Ok(identity)
    }

    /// A certificate for `names`, as `NAME.pem` and `NAME.key` beside that of the CA.
    pub(crate) fn sign_as(&self, name: &str, names: &[&str]) -> anyhow::Result<()> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.ca)?;
        fs::write(self.directory().join(format!("{name}.pem")), cert.pem())?;
        fs::write(self.directory().join(format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }
}
