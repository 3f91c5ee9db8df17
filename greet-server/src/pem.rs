//! Reads PEM files: certificates and a private key, with the likely cause if a file cannot be used.
//!
//! A message never contains text of the file, because any of it may be part of a private key. The
//! errors of the PEM parser quote the lines that they reject, so they are not passed on.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};

/// Windows editors write it before UTF-8. OpenSSL ignores it too.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// The byte order marks of UTF-16, which PowerShell's `>` writes.
const UTF_16_MARKS: [&[u8]; 2] = [b"\xFF\xFE", b"\xFE\xFF"];
const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";

/// Reads a regular file, without its byte order mark. Rejects a FIFO or a device, which could block the
/// start or each reload.
pub(crate) fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut file = open(file)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    if content.starts_with(BYTE_ORDER_MARK) {
        content.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(content)
}

/// Opens a file; does not wait for the writer of a FIFO.
fn open(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options.open(file)
}

/// Returns the certificates of a file, at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if chain.is_empty() => {
            Err(encoding_problem(pem).unwrap_or("it has no PEM section CERTIFICATE"))
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(problem(pem, &error)),
    }
}

/// Returns the first private key of a file.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, &'static str> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        _ if is_encrypted(pem) => "it is encrypted, and the daemon cannot ask for a passphrase",
        pem::Error::NoItemsFound => {
            encoding_problem(pem).unwrap_or("it has no PEM section PRIVATE KEY")
        }
        error => problem(pem, &error),
    })
}

/// Returns whether the key is encrypted, by PKCS #8 (RFC 5958) or by the older RFC 1421.
fn is_encrypted(pem: &[u8]) -> bool {
    contains(pem, b"BEGIN ENCRYPTED PRIVATE KEY") || contains(pem, b"Proc-Type: 4,ENCRYPTED")
}

/// Returns why a file without a PEM section has none, if its first bytes show it.
fn encoding_problem(pem: &[u8]) -> Option<&'static str> {
    if UTF_16_MARKS.iter().any(|mark| pem.starts_with(mark)) {
        return Some("it is UTF-16 text; save it as ASCII or UTF-8");
    }
    // A DER SEQUENCE with a length of two bytes (X.690): a certificate or a key.
    pem.starts_with(&[0x30, 0x82]).then_some("it is DER; convert it to PEM")
}

/// Describes an error without the text that it quotes.
fn problem(pem: &[u8], error: &pem::Error) -> &'static str {
    let is_glued = |line: &[u8]| contains(line, BEGIN) && contains(line, END);
    let mut lines = pem.split(|byte| matches!(byte, b'\n' | b'\r'));
    match error {
        _ if contains(pem, br"-----\n") => {
            r"it has the two characters `\n` in place of line breaks"
        }
        _ if lines.any(is_glued) => "its line breaks are missing",
        pem::Error::IllegalSectionStart { .. } => {
            "a BEGIN line is malformed; it ends with five hyphens and has no other text"
        }
        pem::Error::MissingSectionEnd { .. } => "a section has no END line that matches its BEGIN",
        pem::Error::Base64Decode(_) => "the text between a BEGIN and an END line is not base64",
        _ => "it is not PEM",
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
