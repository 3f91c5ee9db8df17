//! Builds the TLS configuration from the flags for certificates, names and trust.

use std::env::{split_paths, var_os};
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use greet_flags::pem;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, Error, KeyLogFile, RootCertStore};
use rustls_native_certs::{load_certs_from_paths, load_native_certs};

use super::certificate_error::describe;
use super::verifier::RecordingVerifier;

/// HTTP/2 over TLS (RFC 9113, section 3.2), the only protocol that is offered.
pub(crate) const ALPN_H2: &[u8] = b"h2";

/// A bundle of CAs, and directories of CAs, instead of the system's.
const CERT_FILE: &str = "SSL_CERT_FILE";
const CERT_DIR: &str = "SSL_CERT_DIR";
/// The file for the keys of connections, which tools such as Wireshark read.
const KEY_LOG_FILE: &str = "SSLKEYLOGFILE";

/// The keys that ring signs with.
const SUPPORTED_KEYS: &str = "RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519";

/// The trusted CAs, the client certificate and the expected server name.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    identity: Option<Arc<CertifiedKey>>,
    server_name: Option<ServerName<'static>>,
    insecure: bool,
    logs_keys: bool,
    /// Reasons that variables have no effect.
    problems: Vec<String>,
}

impl Tls {
    /// Fails if a file is not readable or malformed.
    pub(crate) fn new(
        ca_cert: Option<&Path>,
        cert_and_key: Option<(&Path, &Path)>,
        server_name: Option<ServerName<'static>>,
        insecure: bool,
    ) -> anyhow::Result<Tls> {
        let provider = Arc::new(ring::default_provider());
        let mut problems = Vec::new();
        let roots = match ca_cert {
            Some(file) => read_roots(file)?,
            None if insecure => RootCertStore::empty(),
            None => system_roots(&mut problems),
        };
        let identity = match cert_and_key {
            Some((cert, key)) => Some(Arc::new(read_identity(cert, key, &provider)?)),
            None => None,
        };
        let logs_keys = logs_keys(&mut problems);
        Ok(Tls {
            provider,
            roots: Arc::new(roots),
            identity,
            server_name,
            insecure,
            logs_keys,
            problems,
        })
    }

    /// Returns why variables, such as the one for the CAs, are useless.
    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Returns the name that the certificate must be valid for, if it is not the target's host.
    pub(crate) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }

    /// Returns the configuration of one handshake, and its verifier.
    pub(crate) fn configure(&self) -> (ClientConfig, Arc<RecordingVerifier>) {
        let (provider, identity) = (Arc::clone(&self.provider), self.identity.clone());
        let roots = (!self.insecure).then(|| Arc::clone(&self.roots));
        let verifier = Arc::new(RecordingVerifier::new(Arc::clone(&provider), roots, identity));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has a cipher for each version")
            .dangerous()
            .with_custom_certificate_verifier(Arc::<RecordingVerifier>::clone(&verifier))
            .with_client_cert_resolver(Arc::<RecordingVerifier>::clone(&verifier));
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        if self.logs_keys {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        (config, verifier)
    }
}

/// Returns whether `SSLKEYLOGFILE` names a file for the keys. rustls ignores one that it cannot open.
fn logs_keys(problems: &mut Vec<String>) -> bool {
    let Some(file) = var_os(KEY_LOG_FILE).filter(|file| !file.is_empty()) else {
        return false;
    };
    let opened = OpenOptions::new().append(true).create(true).open(&file);
    if let Err(error) = &opened {
        let file = Path::new(&file).display();
        problems.push(format!("{KEY_LOG_FILE}: could not write `{file}`: {error}"));
    }
    opened.is_ok()
}

fn read_certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = pem::read_file_or_pipe(file);
    pem.and_then(|pem| pem::certificates(file, &pem)).map_err(anyhow::Error::msg)
}

fn read_roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in read_certificates(file)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| unusable_certificate(file, index, &error))?;
    }
    Ok(roots)
}

/// Returns the CAs of the system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, as OpenSSL
/// does. `problems` gets what makes a variable useless; the CAs that remain may suffice.
fn system_roots(problems: &mut Vec<String>) -> RootCertStore {
    let (file, dirs) = (var_os(CERT_FILE), var_os(CERT_DIR));
    let mut certificates = Vec::new();
    if let Some(file) = &file {
        let file = Path::new(file);
        match read_certificates(file) {
            Ok(found) => certificates.extend(found),
            Err(error) => {
                problems.push(format!("{CERT_FILE}: {error}"));
                // One malformed certificate does not exclude the others.
                if file.is_file() {
                    certificates.extend(load_certs_from_paths(Some(file), None).certs);
                }
            }
        }
    }
    let paths = split_paths(dirs.as_deref().unwrap_or_default());
    for dir in paths.filter(|dir| !dir.as_os_str().is_empty()) {
        let loaded = load_certs_from_paths(None, Some(&dir));
        if let Err(error) = fs::read_dir(&dir) {
            problems.push(format!("{CERT_DIR}: could not read `{}`: {error}", dir.display()));
        } else if loaded.certs.is_empty() {
            problems.push(format!("{CERT_DIR}: `{}` has no usable certificate", dir.display()));
        }
        certificates.extend(loaded.certs);
    }
    if file.is_none() && dirs.is_none() {
        certificates = load_native_certs().certs;
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    roots
}

fn read_identity(
    cert: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> anyhow::Result<CertifiedKey> {
    let chain = read_certificates(cert)?;
    let private = pem::read_file_or_pipe(key).and_then(|pem| pem::private_key(key, &pem));
    let private = private.map_err(anyhow::Error::msg)?;
    let later = chain.get(1..).unwrap_or_default().to_vec();
    CertifiedKey::from_der(chain, private.clone_key(), provider).map_err(|error| {
        let (cert_name, key) = (cert.display(), key.display());
        match error {
            Error::InconsistentKeys(_) => {
                let mut later = later.into_iter();
                let is_match =
                    |der| CertifiedKey::from_der(vec![der], private.clone_key(), provider).is_ok();
                if later.any(is_match) {
                    anyhow!(
                        "`{cert_name}` is in the wrong order: the certificate of `{key}` is not first"
                    )
                } else {
                    anyhow!("the key in `{key}` does not match the certificate in `{cert_name}`")
                }
            }
            Error::InvalidCertificate(_) => unusable_certificate(cert, 0, &error),
            _ => anyhow!("`{key}` has no usable private key: it is not {SUPPORTED_KEYS}"),
        }
    })
}

fn unusable_certificate(file: &Path, index: usize, error: &Error) -> anyhow::Error {
    let problem = match error {
        Error::InvalidCertificate(reason) => describe(reason),
        _ => "it is malformed".to_owned(),
    };
    anyhow!("`{}`: certificate {} cannot be used: {problem}", file.display(), index + 1)
}
