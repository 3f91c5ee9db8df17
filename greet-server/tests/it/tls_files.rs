//! TLS files that cannot be used: the message has the likely cause and no text of the file, which may
//! be part of a private key.

use std::fs;
use std::path::Path;
use std::process::Command;

use greet_testkit::certs::{Ca, IdentityDirectory};
use rustix::process::Signal;

use crate::configuration::error;
use crate::support::process::{Process, daemon, run};

const ENCRYPTED: &str = "it is encrypted; decrypt it with openssl pkey -in FILE -out NEW_FILE";

/// Returns each form of a key that tools make by accident, with the cause in its message.
fn broken(key: &str) -> Vec<(String, &'static str)> {
    let rfc_1421 = "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n";
    let pkcs_8 = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    vec![
        (key.replace('\n', ""), "its line breaks are missing"),
        (key.replace('\n', " "), "its line breaks are missing"),
        (key.replace('\n', "\\n"), r"it has the two characters `\n` instead of line breaks"),
        (
            key.replacen("KEY-----\n", "KEY----\n", 1),
            "a BEGIN line is malformed; it has five hyphens on each side and no other text",
        ),
        (key.replacen("KEY-----\n", "KEY-----", 1), "it has no line break after a BEGIN line"),
        (key.replace("-----END", ""), "a section has no END line that matches its BEGIN line"),
        (
            key.replacen("KEY-----\n", "KEY-----\n!", 1),
            "the text between a BEGIN and an END line is not base64",
        ),
        (
            key.replacen("-----BEGIN", "BEGIN", 1),
            "it is not PEM: it has no line -----BEGIN PRIVATE KEY-----",
        ),
        (format!("\u{feff}{}", key.replace('\n', "")), "its line breaks are missing"),
        (key.replacen("KEY-----\n", rfc_1421, 1), ENCRYPTED),
        (key.replacen("-----BEGIN PRIVATE KEY-----", pkcs_8, 1), ENCRYPTED),
    ]
}

/// Fails if `output` has text of the key, as it is or as the bytes of a Rust debug string.
fn assert_without_key(output: &str, key: &str) {
    let secret = key.lines().nth(1).unwrap();
    for start in (0..secret.len() - 8).step_by(8) {
        let text = &secret[start..start + 8];
        let bytes = format!("{:?}", text.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        assert!(!output.contains(text) && !output.contains(bytes), "{output}");
    }
}

#[test]
fn broken_key_is_reported_with_its_cause_and_without_its_text() {
    let identity = Ca::new("Greet Test CA").sign_serial(1);
    let files = IdentityDirectory::new(&identity);
    for (broken, cause) in broken(&identity.key_pem) {
        let key = files.put("key.pem", &broken);
        let message = error(run(daemon(&["--check"]).args(files.server_flags())));
        assert_eq!(message, format!("`{key}` has no usable private key: {cause}"));
        // The flags are easily swapped, so a key may be in the place of a certificate.
        files.put("cert.pem", &broken);
        let message = error(run(daemon(&["--check"]).args(files.server_flags())));
        assert!(message.contains(" has no usable certificate: "), "{message}");
        assert_without_key(&message, &identity.key_pem);
        files.put("cert.pem", &identity.cert_pem);
    }
}

#[test]
fn utf_16_and_der_are_reported() {
    let identity = Ca::new("Greet Test CA").sign_serial(1);
    let utf_16 = "it is UTF-16 text; save it as UTF-8";
    let der = "it is DER, not PEM; convert it with openssl";
    for (content, causes) in [
        (&b"\xff\xfe-\0-\0"[..], [utf_16.to_owned(), utf_16.to_owned()]),
        (
            b"\x30\x82\x01\x02",
            ["pkey", "x509"].map(|command| format!("{der} {command} -inform DER")),
        ),
    ] {
        let places = [("key.pem", "private key"), ("cert.pem", "certificate")];
        for ((name, kind), cause) in places.into_iter().zip(causes) {
            let files = IdentityDirectory::new(&identity);
            fs::write(files.path(name), content).unwrap();
            let message = error(run(daemon(&["--check"]).args(files.server_flags())));
            let file = files.path(name).display().to_string();
            assert_eq!(message, format!("`{file}` has no usable {kind}: {cause}"));
        }
    }
}

#[test]
fn unusable_certificate_and_key_are_explained() {
    let identity = Ca::new("Greet Test CA").sign_serial(1);
    let files = IdentityDirectory::new(&identity);
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| files.path(name).display().to_string());
    let other = Ca::new("Other CA").pem();
    let malformed = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let check =
        |more: &[&str]| error(run(daemon(&["--check"]).args(files.server_flags()).args(more)));

    let ca = files.put("ca.pem", &format!("{other}{malformed}"));
    let message = format!("`{ca}`: certificate 2 cannot be used: it is malformed");
    assert_eq!(check(&[&format!("--tls-client-ca={ca}")]), message);

    files.put("cert.pem", malformed);
    assert_eq!(check(&[]), format!("`{cert}`: certificate 1 cannot be used: it is malformed"));

    files.put("cert.pem", &format!("{other}{}", identity.cert_pem));
    let order = format!("is in the wrong order: the certificate of `{key}` is not first");
    assert_eq!(check(&[]), format!("`{cert}` {order}"));

    let secp256k1 = "MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgwFgmMGS5QmEHOqFpDh1z";
    let section = format!("PRIVATE KEY-----\n{secp256k1}\n-----END PRIVATE KEY-----\n");
    files.put("key.pem", &format!("-----BEGIN {section}"));
    let supported = "RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519";
    assert_eq!(check(&[]), format!("`{key}` has no usable private key: it is not {supported}"));
}

#[test]
fn byte_order_mark_before_pem_is_accepted() {
    let identity = Ca::new("Greet Test CA").sign_serial(1);
    let files = IdentityDirectory::new(&identity);
    files.put("cert.pem", &format!("\u{feff}{}", identity.cert_pem));
    files.put("key.pem", &format!("\u{feff}{}", identity.key_pem));
    let (code, _, stderr) = run(daemon(&["--check"]).args(files.server_flags()));
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn broken_key_is_not_logged_by_a_reload() {
    let identity = Ca::new("Greet Test CA").sign_serial(1);
    let files = IdentityDirectory::new(&identity);
    let mut command = daemon(&["--listen=127.0.0.1:0", "--log-format=text"]);
    let mut process = Process::start(command.args(files.server_flags()));
    process.next_line();
    let rejected = broken(&identity.key_pem);
    for (broken, cause) in &rejected {
        files.put("key.pem", broken);
        process.signal(Signal::HUP);
        process.wait_for_log(cause);
    }
    let log = process.stop().log;
    assert_without_key(&log, &identity.key_pem);
}

#[test]
fn fifo_and_device_are_rejected_without_waiting() {
    let identity = Ca::new("Greet Test CA").sign_serial(1);
    let files = IdentityDirectory::new(&identity);
    let [cert, _] = files.server_flags();
    let check = |key: &Path| {
        error(run(&mut daemon(&["--check", &cert, &format!("--tls-key={}", key.display())])))
    };
    let fifo = files.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for special in [&*fifo, Path::new("/dev/zero")] {
        let expected = format!("could not read `{}`: it is not a regular file", special.display());
        assert_eq!(check(special), expected);
    }

    let mut command = daemon(&["--listen=127.0.0.1:0"]);
    let mut process = Process::start(command.args(files.server_flags()));
    process.next_line();
    fs::rename(&fifo, files.path("key.pem")).unwrap();
    process.signal(Signal::HUP);
    process.wait_for_log("it is not a regular file");
    assert_eq!(process.stop().code, Some(0));
}
