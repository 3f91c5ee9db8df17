//! Reads certificates and private keys from PEM files (RFC 7468). A message never quotes a file,
//! because it may hold a key: the errors of the parser contain the lines that it could not read.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Editors of Windows put it before the text; OpenSSL skips it, too.
const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";
/// The start of UTF-16 text, as `>` of PowerShell 5 writes it.
const UTF16_BOMS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
/// The first bytes of DER: a sequence with a length of two bytes or of one.
const DER: [&[u8]; 2] = [b"\x30\x82", b"\x30\x81"];
/// The version of PKCS #12 (RFC 7292), after a header of four bytes.
const PKCS12_VERSION: &[u8] = b"\x02\x01\x03";
/// The marks of an encrypted key: PKCS #8 (RFC 5958), and the older form of RFC 1421.
const ENCRYPTED: [&str; 2] = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"];
/// Files of open descriptors, which a shell passes for `<(command)`.
const DESCRIPTORS: [&str; 3] = ["/dev/fd", "/proc/self/fd", "/dev/stdin"];

/// Reads at least one certificate.
pub(super) fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let text = read(file)?;
    let found = CertificateDer::pem_slice_iter(without_bom(&text)).collect::<Result<Vec<_>, _>>();
    let unusable = |problem| anyhow!("`{}` has no usable certificate: {problem}", file.display());
    match found {
        Ok(certificates) if certificates.is_empty() => {
            Err(unusable(problem(&text, &Error::NoItemsFound, "CERTIFICATE")))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(problem(&text, &error, "CERTIFICATE"))),
    }
}

/// Reads the first private key.
pub(super) fn private_key(file: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let text = read(file)?;
    PrivateKeyDer::from_pem_slice(without_bom(&text)).map_err(|error| {
        let problem = problem(&text, &error, "PRIVATE KEY");
        anyhow!("`{}` has no usable private key: {problem}", file.display())
    })
}

/// Reads a regular file. Anything else could block, or never end.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let context = || format!("could not read `{}`", file.display());
    let kind = fs::metadata(file).with_context(context)?.file_type();
    let is_passed_by_shell = is_fifo(kind) && DESCRIPTORS.iter().any(|path| file.starts_with(path));
    if kind.is_dir() {
        bail!("could not read `{}`: it is a directory", file.display());
    }
    if !kind.is_file() && !is_passed_by_shell {
        bail!("could not read `{}`: it is not a regular file", file.display());
    }
    fs::read(file).with_context(context)
}

#[cfg(unix)]
fn is_fifo(kind: fs::FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&kind)
}

#[cfg(not(unix))]
fn is_fifo(_kind: fs::FileType) -> bool {
    false
}

fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(UTF8_BOM).unwrap_or(text)
}

/// Returns the likely cause of `error`, which is not shown.
fn problem(bytes: &[u8], error: &Error, label: &str) -> String {
    let text = &String::from_utf8_lossy(without_bom(bytes));
    let is_key = label == "PRIVATE KEY";
    if is_key && ENCRYPTED.iter().any(|marker| text.contains(marker)) {
        return "it is encrypted; decrypt it with openssl pkey -in FILE -out NEW_FILE".to_owned();
    }
    if is_key && text.contains("BEGIN OPENSSH PRIVATE KEY") {
        return "it is OpenSSH's format; convert it with ssh-keygen -p -m PKCS8 -f FILE".to_owned();
    }
    if UTF16_BOMS.iter().any(|bom| bytes.starts_with(bom)) {
        return "it is UTF-16 text; save it as UTF-8".to_owned();
    }
    if let Some(problem) = text.split(['\n', '\r']).find_map(begin_line_problem) {
        return problem.to_owned();
    }
    match error {
        Error::MissingSectionEnd { .. } => "a section has no END line".to_owned(),
        Error::Base64Decode(_) => "the base64 between BEGIN and END is malformed".to_owned(),
        _ if text.contains("-----BEGIN ") => format!("it has no PEM section {label}"),
        _ if bytes.get(4..).is_some_and(|rest| rest.starts_with(PKCS12_VERSION)) => {
            "it is PKCS #12; convert it with openssl pkcs12 -nodes -in FILE -out NEW_FILE"
                .to_owned()
        }
        _ if DER.iter().any(|start| bytes.starts_with(start)) => {
            let command = if is_key { "pkey" } else { "x509" };
            format!("it is DER, not PEM; convert it with openssl {command} -inform DER")
        }
        _ => format!("it is not PEM: it has no line -----BEGIN {label}-----"),
    }
}

/// Returns what is wrong with a BEGIN line.
fn begin_line_problem(line: &str) -> Option<&'static str> {
    if !line.contains("-BEGIN ") {
        return None;
    }
    if line.contains("-----\\n") {
        return Some("it has the characters \\n instead of line breaks");
    }
    match line.trim().strip_prefix("-----BEGIN ") {
        Some(rest) if rest.trim_end_matches('-').contains("-----") => {
            Some("it has no line break after a BEGIN line")
        }
        Some(rest) if rest.strip_suffix("-----").is_some_and(|label| !label.ends_with('-')) => {
            line.starts_with([' ', '\t']).then_some("its lines are indented")
        }
        _ => Some("a BEGIN line is malformed"),
    }
}
