//! Reads certificates and private keys from PEM files (RFC 7468), with the likely cause if a file
//! cannot be used.
//!
//! A message never contains text of the file, because any of it may be part of a private key. The
//! errors of the parser quote the lines that they reject, so they are not passed on.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use rustls::pki_types::pem::{Error, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Windows editors write it before UTF-8. OpenSSL ignores it too.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// The byte order marks of UTF-16, which the `>` of PowerShell 5 writes.
const UTF_16_MARKS: [&[u8]; 2] = [b"\xFF\xFE", b"\xFE\xFF"];
/// The first bytes of DER (X.690): a SEQUENCE with a length of two bytes or of one.
const DER: [&[u8]; 2] = [b"\x30\x82", b"\x30\x81"];
/// The version of PKCS #12 (RFC 7292), after a header of four bytes.
const PKCS_12_VERSION: &[u8] = b"\x02\x01\x03";
/// The marks of an encrypted key: PKCS #8 (RFC 5958), and the older form of RFC 1421.
const ENCRYPTED: [&str; 2] = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"];
/// Paths of open descriptors, which a shell passes for `<(command)`.
const DESCRIPTORS: [&str; 3] = ["/dev/fd", "/proc/self/fd", "/dev/stdin"];

/// Reads a regular file, without its byte order mark. A FIFO or a device could block, and a pipe could
/// not be read again by a reload.
///
/// # Errors
/// The file cannot be read, or is not a regular file.
pub fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    read(path, false)
}

/// Reads a regular file or the pipe of `<(command)`, without its byte order mark.
///
/// # Errors
/// The file cannot be read, or is neither.
pub fn read_file_or_pipe(path: &Path) -> Result<Vec<u8>, String> {
    read(path, DESCRIPTORS.iter().any(|descriptors| path.starts_with(descriptors)))
}

/// Returns the certificates in the content of a file, at least one.
///
/// # Errors
/// The file has no certificate, or is malformed.
pub fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = match found {
        Ok(certificates) if certificates.is_empty() => Err(Error::NoItemsFound),
        found => found,
    };
    found.map_err(|error| {
        let problem = problem(pem, &error, "CERTIFICATE");
        format!("`{}` has no usable certificate: {problem}", path.display())
    })
}

/// Returns the first private key in the content of a file.
///
/// # Errors
/// The file has no private key that can be read, or is malformed.
pub fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let problem = problem(pem, &error, "PRIVATE KEY");
        format!("`{}` has no usable private key: {problem}", path.display())
    })
}

fn read(path: &Path, accepts_pipe: bool) -> Result<Vec<u8>, String> {
    let read = read_bytes(path, accepts_pipe);
    let mut bytes =
        read.map_err(|error| format!("could not read `{}`: {error}", path.display()))?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

fn read_bytes(path: &Path, accepts_pipe: bool) -> io::Result<Vec<u8>> {
    // Opening a socket fails without a reason, and opening a device can have an effect.
    check(fs::metadata(path)?.file_type(), accepts_pipe)?;
    let mut file = open(path, accepts_pipe)?;
    // Another file may have taken the path since the first check.
    check(file.metadata()?.file_type(), accepts_pipe)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check(kind: FileType, accepts_pipe: bool) -> io::Result<()> {
    if kind.is_file() || (accepts_pipe && is_pipe(kind)) {
        return Ok(());
    }
    let problem = if kind.is_dir() { "it is a directory" } else { "it is not a regular file" };
    Err(io::Error::new(ErrorKind::InvalidInput, problem))
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&kind)
}

#[cfg(not(unix))]
fn is_pipe(_kind: FileType) -> bool {
    false
}

/// Opens a file. Does not wait for the writer of a FIFO unless a pipe is accepted.
#[cfg_attr(not(unix), expect(unused_variables, reason = "other systems have no FIFO files"))]
fn open(path: &Path, accepts_pipe: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    if !accepts_pipe {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options.open(path)
}

/// Returns the likely cause of `error`, which is not shown.
fn problem(pem: &[u8], error: &Error, label: &str) -> String {
    let text = &String::from_utf8_lossy(pem);
    let is_key = label == "PRIVATE KEY";
    if is_key && ENCRYPTED.iter().any(|mark| text.contains(mark)) {
        return "it is encrypted; decrypt it with openssl pkey -in FILE -out NEW_FILE".to_owned();
    }
    if is_key && text.contains("BEGIN OPENSSH PRIVATE KEY") {
        return "it is OpenSSH's format; convert it with ssh-keygen -p -m PKCS8 -f FILE".to_owned();
    }
    if UTF_16_MARKS.iter().any(|mark| pem.starts_with(mark)) {
        return "it is UTF-16 text; save it as UTF-8".to_owned();
    }
    if let Some(problem) = text.split(['\n', '\r']).find_map(begin_line_problem) {
        return problem.to_owned();
    }
    match error {
        Error::MissingSectionEnd { .. } => {
            "a section has no END line that matches its BEGIN line".to_owned()
        }
        Error::Base64Decode(_) => {
            "the text between a BEGIN and an END line is not base64".to_owned()
        }
        _ if text.contains("-----BEGIN ") => format!("it has no PEM section {label}"),
        _ if pem.get(4..).is_some_and(|rest| rest.starts_with(PKCS_12_VERSION)) => {
            "it is PKCS #12; convert it with openssl pkcs12 -nodes -in FILE -out NEW_FILE"
                .to_owned()
        }
        _ if DER.iter().any(|start| pem.starts_with(start)) => {
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
    if line.contains(r"-----\n") {
        return Some(r"it has the two characters `\n` instead of line breaks");
    }
    match line.trim().strip_prefix("-----BEGIN ") {
        Some(rest) if rest.contains("-----END ") => Some("its line breaks are missing"),
        Some(rest) if rest.trim_end_matches('-').contains("-----") => {
            Some("it has no line break after a BEGIN line")
        }
        Some(rest) if rest.strip_suffix("-----").is_some_and(|label| !label.ends_with('-')) => {
            line.starts_with([' ', '\t']).then_some("its lines are indented")
        }
        _ => Some("a BEGIN line is malformed; it has five hyphens on each side and no other text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a valid key: only its PEM is parsed here.
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEH\nBG0wawIBAQQg\n-----END PRIVATE KEY-----\n";
    const CERTIFICATE: &str =
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmg\n-----END CERTIFICATE-----\n";

    const ENCRYPTED: &str = "it is encrypted; decrypt it with openssl pkey -in FILE -out NEW_FILE";
    const GLUED: &str = "it has no line break after a BEGIN line";
    const MALFORMED_BEGIN: &str =
        "a BEGIN line is malformed; it has five hyphens on each side and no other text";
    const NO_LINE_BREAKS: &str = "its line breaks are missing";
    const PKCS_12: &str =
        "it is PKCS #12; convert it with openssl pkcs12 -nodes -in FILE -out NEW_FILE";
    const UTF_16: &str = "it is UTF-16 text; save it as UTF-8";

    /// Fails unless a file `f.pem` with this content has no key for this reason, and no text of the
    /// key is in the message, also if the file is in the place of a certificate.
    #[track_caller]
    fn assert_no_key(content: impl AsRef<[u8]>, problem: &str) {
        let (path, content) = (Path::new("f.pem"), content.as_ref());
        let message = private_key(path, content).unwrap_err();
        assert_eq!(message, format!("`f.pem` has no usable private key: {problem}"));
        let as_certificate = certificates(path, content).unwrap_err();
        for secret in KEY.lines().skip(1).take(2) {
            assert!(!message.contains(&secret[..8]), "{message}");
            assert!(!as_certificate.contains(&secret[..8]), "{as_certificate}");
        }
    }

    #[track_caller]
    fn assert_no_certificate(content: impl AsRef<[u8]>, problem: &str) {
        let message = certificates(Path::new("f.pem"), content.as_ref()).unwrap_err();
        assert_eq!(message, format!("`f.pem` has no usable certificate: {problem}"));
    }

    #[test]
    fn missing_line_breaks_are_the_cause() {
        let escaped = r"it has the two characters `\n` instead of line breaks";
        assert_no_key(KEY.replace('\n', ""), NO_LINE_BREAKS);
        assert_no_key(KEY.replace('\n', " "), NO_LINE_BREAKS);
        assert_no_key(KEY.replace('\n', "\\n"), escaped);
        assert_no_key(KEY.replacen('\n', "", 1), GLUED);
        assert_no_key(KEY.replacen('\n', " ", 1), GLUED);
        assert_no_certificate(CERTIFICATE.replace('\n', ""), NO_LINE_BREAKS);
    }

    #[test]
    fn malformed_section_is_the_cause() {
        assert_no_key(KEY.replacen("-----\n", "----\n", 1), MALFORMED_BEGIN);
        assert_no_key(KEY.replacen("-----\n", "------\n", 1), MALFORMED_BEGIN);
        assert_no_key(KEY.replacen("-----BEGIN", "----BEGIN", 1), MALFORMED_BEGIN);
        assert_no_key(KEY.replace("-----BEGIN", "  -----BEGIN"), "its lines are indented");
        let no_end = "a section has no END line that matches its BEGIN line";
        assert_no_key(KEY.replace("-----END", "-----AND"), no_end);
        assert_no_key(KEY.replace("END PRIVATE", "END RSA PRIVATE"), no_end);
        let no_base64 = "the text between a BEGIN and an END line is not base64";
        assert_no_key(KEY.replace("MIG", "?"), no_base64);
        assert_no_certificate(CERTIFICATE.replace("MII", "?"), no_base64);
    }

    #[test]
    fn encrypted_key_and_openssh_key_are_named() {
        let rfc_1421 = "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n";
        assert_no_key(KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"), ENCRYPTED);
        assert_no_key(KEY.replacen("-----\n", rfc_1421, 1), ENCRYPTED);
        let openssh = "it is OpenSSH's format; convert it with ssh-keygen -p -m PKCS8 -f FILE";
        assert_no_key(KEY.replace("PRIVATE", "OPENSSH PRIVATE"), openssh);
    }

    #[test]
    fn file_without_the_section_is_named() {
        assert_no_key(
            CERTIFICATE.replace("CERTIFICATE", "PUBLIC KEY"),
            "it has no PEM section PRIVATE KEY",
        );
        assert_no_certificate(KEY, "it has no PEM section CERTIFICATE");
        let no_pem = "it is not PEM: it has no line -----BEGIN PRIVATE KEY-----";
        assert_no_key(KEY.replacen("-----BEGIN", "BEGIN", 1), no_pem);
        assert_no_key("MIGHAgEA", no_pem);
        assert_no_key("", no_pem);
        assert_no_certificate("", "it is not PEM: it has no line -----BEGIN CERTIFICATE-----");
    }

    #[test]
    fn other_encodings_are_named() {
        let encode = |bytes: fn(u16) -> [u8; 2]| {
            format!("\u{feff}{KEY}").encode_utf16().flat_map(bytes).collect::<Vec<_>>()
        };
        assert_no_key(encode(u16::to_le_bytes), UTF_16);
        assert_no_key(encode(u16::to_be_bytes), UTF_16);
        assert_no_certificate(encode(u16::to_le_bytes), UTF_16);
        let der =
            |command| format!("it is DER, not PEM; convert it with openssl {command} -inform DER");
        assert_no_key(b"\x30\x81\x87\x02\x01\x00", &der("pkey"));
        assert_no_key(b"\x30\x82\x01\x02", &der("pkey"));
        assert_no_certificate(b"\x30\x82\x01\x02", &der("x509"));
        assert_no_key(b"\x30\x82\x09\x6a\x02\x01\x03", PKCS_12);
        assert_no_certificate(b"\x30\x82\x09\x6a\x02\x01\x03", PKCS_12);
    }

    #[test]
    fn certificates_and_key_are_found_in_one_file() {
        let path = Path::new("f.pem");
        let all = format!("A comment\n{CERTIFICATE}{KEY}{CERTIFICATE}").replace('\n', "\r\n");
        assert_eq!(certificates(path, all.as_bytes()).unwrap().len(), 2);
        assert!(private_key(path, all.as_bytes()).is_ok());
    }

    #[test]
    fn byte_order_mark_is_skipped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        fs::write(&path, format!("\u{feff}{KEY}")).unwrap();
        assert_eq!(read_file(&path).as_deref(), Ok(KEY.as_bytes()));
        assert_eq!(read_file_or_pipe(&path).as_deref(), Ok(KEY.as_bytes()));
    }

    #[test]
    fn missing_file_and_directory_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing.pem");
        for (path, problem) in [
            (&*missing, fs::read(&missing).unwrap_err().to_string()),
            (directory.path(), "it is a directory".to_owned()),
        ] {
            let message = format!("could not read `{}`: {problem}", path.display());
            assert_eq!(read_file(path), Err(message.clone()));
            assert_eq!(read_file_or_pipe(path), Err(message));
        }
    }

    /// A reader of a FIFO waits for a writer, and `/dev/zero` has no end.
    #[cfg(unix)]
    #[test]
    fn fifo_socket_and_device_are_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let [fifo, socket] = ["fifo", "socket"].map(|name| directory.path().join(name));
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&*fifo, &*socket, Path::new("/dev/zero")] {
            let message = format!("could not read `{}`: it is not a regular file", path.display());
            assert_eq!(read_file(path), Err(message.clone()));
            assert_eq!(read_file_or_pipe(path), Err(message));
        }
    }

    /// bash passes `<(command)` as `/dev/fd/63`.
    #[cfg(unix)]
    #[test]
    fn pipe_of_a_shell_is_read_only_on_request() {
        use std::os::fd::AsRawFd as _;

        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let message = format!("could not read `{path}`: it is not a regular file");
        assert_eq!(read_file(Path::new(&path)), Err(message));
        io::Write::write_all(&mut writer, KEY.as_bytes()).unwrap(); // fits into the pipe
        drop(writer);
        assert_eq!(read_file_or_pipe(Path::new(&path)).as_deref(), Ok(KEY.as_bytes()));
    }
}
