//! Files of certificates and keys that cannot be used: exit code 2, the cause, and no content.

use std::fs;

use greet_testkit::certs::{Ca, IdentityFiles};

use crate::support::certs::patch_certificate;
use crate::support::sample::{CALL, LINE};
use crate::support::{CommandOutput, Daemon, cli, command, run};

const ENCRYPTED: &str = "it is encrypted; decrypt it with openssl pkey -in FILE -out NEW_FILE";
const NO_LINE_BREAKS: &str = "its line breaks are missing";
const MALFORMED_BEGIN: &str =
    "a BEGIN line is malformed; it has five hyphens on each side and no other text";

/// Runs greet-cli with a client certificate; it ends before it connects.
fn call_with(client: &IdentityFiles) -> CommandOutput {
    let [cert, key] = client.client_flags();
    cli("https://127.0.0.1:1", &[&[cert.as_str(), &key][..], CALL].concat())
}

#[track_caller]
fn assert_rejected(ran: &CommandOutput, reason: &str) {
    ran.assert("", &format!("greet-cli: {reason}\n"), 2);
}

#[test]
fn faulty_key_file_is_explained_without_its_content() {
    let ca = Ca::new("Test CA");
    let client = ca.sign_files("client");
    let key = fs::read_to_string(&client.key).unwrap();
    let base64: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let rfc1421 = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
        DEK-Info: AES-256-CBC,00\n\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n";
    let openssh = "it is OpenSSH's format; convert it with ssh-keygen -p -m PKCS8 -f FILE";
    for (text, problem) in [
        (key.replace('\n', ""), NO_LINE_BREAKS),
        (key.replace('\n', " "), NO_LINE_BREAKS),
        (key.replacen('\n', "", 1), "it has no line break after a BEGIN line"),
        (key.replace('\n', "\\n"), r"it has the two characters `\n` instead of line breaks"),
        (key.replacen("-----\n", "----\n", 1), MALFORMED_BEGIN),
        (key.replacen("-----BEGIN", "----BEGIN", 1), MALFORMED_BEGIN),
        (key.replacen("-----\n", "------\n", 1), MALFORMED_BEGIN),
        (key.replace("-----BEGIN", "  -----BEGIN"), "its lines are indented"),
        (
            key.replace("-----END", "-----AND"),
            "a section has no END line that matches its BEGIN line",
        ),
        (key.replace('M', "?"), "the text between a BEGIN and an END line is not base64"),
        (key.replace("PRIVATE", "ENCRYPTED PRIVATE"), ENCRYPTED),
        (rfc1421.to_owned(), ENCRYPTED),
        (key.replace("PRIVATE", "OPENSSH PRIVATE"), openssh),
        (key.replace("PRIVATE", "PUBLIC"), "it has no PEM section PRIVATE KEY"),
        (base64.clone(), "it is not PEM: it has no line -----BEGIN PRIVATE KEY-----"),
        (String::new(), "it is not PEM: it has no line -----BEGIN PRIVATE KEY-----"),
    ] {
        fs::write(&client.key, text).unwrap();
        let file = client.key.display();
        let reason = format!("`{file}` has no usable private key: {problem}");
        assert_rejected(&call_with(&client), &reason);
    }
}

#[test]
fn binary_key_file_is_explained() {
    let ca = Ca::new("Test CA");
    let client = ca.sign_files("client");
    let utf16: Vec<u8> = "\u{feff}key".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let pkcs12 = "it is PKCS #12; convert it with openssl pkcs12 -nodes -in FILE -out NEW_FILE";
    for (bytes, problem) in [
        (
            &b"\x30\x81\x87\x02\x01\x00"[..],
            "it is DER, not PEM; convert it with openssl pkey -inform DER",
        ),
        (b"\x30\x82\x09\x6a\x02\x01\x03", pkcs12),
        (&utf16, "it is UTF-16 text; save it as UTF-8"),
    ] {
        fs::write(&client.key, bytes).unwrap();
        let reason = format!("`{}` has no usable private key: {problem}", client.key.display());
        assert_rejected(&call_with(&client), &reason);
    }
}

#[test]
fn faulty_certificate_file_is_explained() {
    let ca = Ca::new("Test CA");
    let client = ca.sign_files("client");
    let cert = fs::read_to_string(&client.cert).unwrap();
    let key = fs::read_to_string(&client.key).unwrap();
    for (text, problem) in
        [(key, "it has no PEM section CERTIFICATE"), (cert.replace('\n', ""), NO_LINE_BREAKS)]
    {
        fs::write(&client.cert, text).unwrap();
        let reason = format!("`{}` has no usable certificate: {problem}", client.cert.display());
        assert_rejected(&call_with(&client), &reason);
        let ca_cert = format!("--ca-cert={}", client.cert.display());
        let ran = cli("https://127.0.0.1:1", &[&[ca_cert.as_str()][..], CALL].concat());
        assert_rejected(&ran, &reason);
    }
}

#[test]
fn certificate_that_cannot_be_used_is_named_by_number() {
    let ca = Ca::new("Test CA");
    let client = ca.sign_files("client");
    let malformed = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let version_1 = ca.sign_files("old").cert;
    patch_certificate(&version_1, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 0]);
    let reason = |number: u32, problem: &str| {
        let file = client.cert.display();
        format!("`{file}`: certificate {number} cannot be used: {problem}")
    };
    fs::copy(&version_1, &client.cert).unwrap();
    assert_rejected(&call_with(&client), &reason(1, "it is not X.509 version 3"));
    fs::write(&client.cert, malformed).unwrap();
    assert_rejected(&call_with(&client), &reason(1, "it is malformed"));
    fs::write(&client.cert, ca.pem() + malformed).unwrap();
    let ca_cert = format!("--ca-cert={}", client.cert.display());
    let ran = cli("https://127.0.0.1:1", &[&[ca_cert.as_str()][..], CALL].concat());
    assert_rejected(&ran, &reason(2, "it is malformed"));
}

#[test]
fn byte_order_mark_before_pem_is_accepted() {
    let ca = Ca::new("Test CA");
    let daemon = Daemon::with_tls(&ca.sign_files("server"), &[&ca.client_ca_flag()]);
    let client = ca.sign_files("client");
    let ca_cert = ca.ca_file();
    for file in [client.cert.as_path(), &client.key, ca_cert.as_ref()] {
        let text = fs::read_to_string(file).unwrap();
        fs::write(file, format!("\u{feff}{text}")).unwrap();
    }
    let [cert, key] = client.client_flags();
    let ca_cert = ca.ca_cert_flag();
    let flags = [&[ca_cert.as_str(), cert.as_str(), &key][..], CALL].concat();
    cli(&daemon.target, &flags).assert(LINE, "", 0);
}

#[test]
fn missing_file_and_directory_are_named() {
    let ca = Ca::new("Test CA");
    let mut client = ca.sign_files("client");
    client.key = "/no.key".into();
    let reason = "could not read `/no.key`: No such file or directory (os error 2)";
    assert_rejected(&call_with(&client), reason);
    client.key = "/".into();
    assert_rejected(&call_with(&client), "could not read `/`: it is a directory");
}

/// A reader of a FIFO waits for a writer, and `/dev/zero` has no end.
#[cfg(unix)]
#[test]
fn fifo_and_device_are_rejected_without_reading() {
    let ca = Ca::new("Test CA");
    let mut client = ca.sign_files("client");
    let fifo = ca.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for file in [fifo.to_str().unwrap(), "/dev/zero"] {
        client.key = file.into();
        let reason = format!("could not read `{file}`: it is not a regular file");
        assert_rejected(&call_with(&client), &reason);
        let ca_cert = format!("--ca-cert={file}");
        let ran = cli("https://127.0.0.1:1", &[&[ca_cert.as_str()][..], CALL].concat());
        assert_rejected(&ran, &reason);
    }
}

/// bash passes `<(command)` as `/dev/fd/63`.
#[cfg(unix)]
#[test]
fn file_of_process_substitution_is_read() {
    let ca = Ca::new("Test CA");
    let daemon = Daemon::with_tls(&ca.sign_files("server"), &[]);
    let flags = [&["--target", &daemon.target, "--ca-cert=/dev/stdin"][..], CALL].concat();
    let mut command = command(&flags);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let pem = fs::read(ca.ca_file()).unwrap();
    std::io::Write::write_all(&mut writer, &pem).unwrap(); // fits into the pipe
    drop(writer);
    command.stdin(reader);
    run(command).assert(LINE, "", 0);
}

#[test]
fn certificates_in_wrong_order_are_named() {
    let ca = Ca::new("Test CA");
    let client = ca.sign_files("client");
    let cert = fs::read_to_string(&client.cert).unwrap();
    let issuer = fs::read_to_string(ca.ca_file()).unwrap();
    fs::write(&client.cert, format!("{issuer}{cert}")).unwrap();
    let (cert, key) = (client.cert.display(), client.key.display());
    let reason = format!("`{cert}` is in the wrong order: the certificate of `{key}` is not first");
    assert_rejected(&call_with(&client), &reason);
}

#[test]
fn key_of_other_certificate_is_named() {
    let ca = Ca::new("Test CA");
    let mut client = ca.sign_files("client");
    client.cert = ca.sign_files("other").cert;
    let (cert, key) = (client.cert.display(), client.key.display());
    let reason = format!("the key in `{key}` does not match the certificate in `{cert}`");
    assert_rejected(&call_with(&client), &reason);
}

#[test]
fn key_of_unsupported_type_is_named() {
    let ca = Ca::new("Test CA");
    let client = ca.sign_files("client");
    let secp256k1 = "-----BEGIN PRIVATE KEY-----\n\
        MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgwFgmMGS5QmEHOqFpDh1z\n\
        -----END PRIVATE KEY-----\n";
    fs::write(&client.key, secp256k1).unwrap();
    let reason = format!(
        "`{}` has no usable private key: it is not RSA of 2048 to 4096 bits, \
         ECDSA on P-256 or P-384, or Ed25519",
        client.key.display()
    );
    assert_rejected(&call_with(&client), &reason);
}
