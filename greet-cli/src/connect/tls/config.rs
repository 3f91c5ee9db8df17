//! Builds the TLS configuration from the flags for certificates, names and trust.

use std::env::{split_paths, var_os};
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use greet_flags::{identity, pem};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, KeyLogFile, RootCertStore};
use rustls_native_certs::{load_certs_from_paths, load_native_certs};

use super::verifier::RecordingVerifier;

/// HTTP/2 over TLS (RFC 9113, section 3.2), the only protocol that is offered.
pub(crate) const ALPN_H2: &[u8] = b"h2";

/// A bundle of CAs, and directories of CAs, instead of the system's.
const CERT_FILE: &str = "SSL_CERT_FILE";
const CERT_DIR: &str = "SSL_CERT_DIR";
/// The file for the keys of connections, which tools such as Wireshark read.
const KEY_LOG_FILE: &str = "SSLKEYLOGFILE";

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
    ) -> Result<Tls, String> {
        let provider = Arc::new(ring::default_provider());
        let mut problems = Vec::new();
        let roots = match ca_cert {
            Some(file) => identity::roots(file, &pem::read_file_or_pipe(file)?)?,
            None if insecure => RootCertStore::empty(),
            None => system_roots(&mut problems),
        };
        let identity = match cert_and_key {
            Some((cert, key)) => {
                let [cert_pem, key_pem] =
                    [pem::read_file_or_pipe(cert)?, pem::read_file_or_pipe(key)?];
                let certified = identity::certified_key(cert, &cert_pem, key, &key_pem, &provider)?;
                Some(Arc::new(certified))
            }
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

/// Returns the CAs of the system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, as OpenSSL
/// does. `problems` gets what makes a variable useless; the CAs that remain may suffice.
fn system_roots(problems: &mut Vec<String>) -> RootCertStore {
    let (file, dirs) = (var_os(CERT_FILE), var_os(CERT_DIR));
    let mut certificates = Vec::new();
    if let Some(file) = &file {
        let file = Path::new(file);
        let read = pem::read_file_or_pipe(file);
        match read.and_then(|pem| pem::certificates(file, &pem)) {
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
