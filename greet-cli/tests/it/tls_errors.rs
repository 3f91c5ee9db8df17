//! Errors of the stage tls, exit code 3.

use std::sync::Arc;

use greet_testkit::certs::{Ca, IdentityFiles, LOOPBACK};
use rcgen::{CustomExtension, GeneralSubtree, KeyPair, NameConstraints, SanType};
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};

use crate::support::certs::{
    expired, for_clients_only, mtls_config, not_yet_valid, patch_certificate, tls_config,
};
use crate::support::error_snapshot::assert_error;
use crate::support::fake_server::{never_reply, reply, serve, serve_tls, serve_tls_then_close};
use crate::support::sample::{CALL, LINE};
use crate::support::{Daemon, cli, command, run};

const H2: &[&[u8]] = &[b"h2"];

/// Object identifiers in DER.
const ECDSA_WITH_SHA256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const SECP384R1: [u8; 7] = [6, 5, 0x2b, 0x81, 4, 0, 34];

/// Appends a certificate to the chain of a server.
fn append(server: &IdentityFiles, pem: &str) {
    let chain = std::fs::read_to_string(&server.cert).unwrap() + pem;
    std::fs::write(&server.cert, chain).unwrap();
}

fn https(address: &str) -> String {
    format!("https://{address}")
}

/// Starts a TLS server and returns its URL.
fn tls_server(config: Arc<ServerConfig>) -> String {
    https(&serve_tls(config))
}

/// Compares the error of a client that trusts the CA of a server's faulty certificate.
#[track_caller]
fn assert_certificate_error(
    snapshot: &str,
    names: &[&str],
    change: impl FnOnce(&mut rcgen::CertificateParams),
) {
    let ca = Ca::new("Test CA");
    let server = ca.sign_files_with("server", names, change);
    let target = tls_server(tls_config(&server, H2));
    assert_error(snapshot, &target, &[&ca.ca_cert_flag()]);
}

#[test]
fn plaintext_greet_server_is_named() {
    let daemon = Daemon::start(&[]);
    assert_error("tls_plaintext_daemon", &https(daemon.address()), &[]);
}

#[test]
fn server_that_sends_first_is_plaintext() {
    let address = serve(reply(b"\0\0\0\x04\0\0\0\0\0"));
    assert_error("tls_plaintext_http2", &https(&address), &[]);
}

#[test]
fn plaintext_web_server_is_named() {
    let address = serve(reply(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"));
    assert_error("tls_plaintext_http1", &https(&address), &[]);
}

#[test]
fn plaintext_of_other_protocol_is_quoted() {
    assert_error("tls_plaintext_other", &https(&serve(reply(b"220 mail.example ESMTP\r\n"))), &[]);
}

#[test]
fn connection_closed_during_handshake() {
    assert_error("tls_closed", &https(&serve(reply(b""))), &[]);
}

#[test]
fn handshake_timeout() {
    assert_error("tls_timeout", &https(&serve(never_reply)), &[]);
}

#[test]
fn issuer_that_is_neither_trusted_nor_sent() {
    let (ca, other) = (Ca::new("Test CA"), Ca::new("Another CA"));
    let target = tls_server(tls_config(&ca.sign_files("server"), H2));
    assert_error("tls_missing_issuer", &target, &[&other.ca_cert_flag()]);
    assert_error("tls_missing_issuer", &target, &[]); // with the roots of the system
}

#[test]
fn missing_intermediate_is_named() {
    let root = Ca::new("Root CA");
    let intermediate = root.intermediate("Intermediate CA");
    let server = intermediate.sign_files("server");
    let target = tls_server(tls_config(&server, H2));
    assert_error("tls_missing_intermediate", &target, &[&root.ca_cert_flag()]);
    append(&server, &intermediate.pem());
    let daemon = Daemon::with_tls(&server, &[]);
    let ran = cli(&daemon.target, &[&[root.ca_cert_flag().as_str()][..], CALL].concat());
    ran.assert(LINE, "", 0);
}

#[test]
fn untrusted_root_that_is_sent_is_named() {
    let root = Ca::new("Root CA");
    let intermediate = root.intermediate("Intermediate CA");
    let server = intermediate.sign_files("server");
    append(&server, &intermediate.pem());
    append(&server, &root.pem());
    let target = tls_server(tls_config(&server, H2));
    assert_error("tls_unknown_issuer", &target, &[&Ca::new("Another CA").ca_cert_flag()]);
}

#[test]
fn self_signed_certificate() {
    let (ca, other) = (Ca::new("Test CA"), Ca::new("Another CA"));
    let server = ca.sign_files("server");
    let signed = rcgen::generate_simple_self_signed(LOOPBACK.map(str::to_owned)).unwrap();
    std::fs::write(&server.cert, signed.cert.pem()).unwrap();
    std::fs::write(&server.key, signed.signing_key.serialize_pem()).unwrap();
    let target = tls_server(tls_config(&server, H2));
    assert_error("tls_self_signed", &target, &[&other.ca_cert_flag()]);
}

#[test]
fn ca_that_was_created_anew_with_same_name() {
    let (old, new) = (Ca::new("Test CA"), Ca::new("Test CA"));
    let target = tls_server(tls_config(&old.sign_files("server"), H2));
    assert_error("tls_bad_signature", &target, &[&new.ca_cert_flag()]);

    // The broken link is found where an intermediate CA was created anew.
    let root = Ca::new("Root CA");
    let intermediate = root.intermediate("Intermediate CA");
    let server = intermediate.sign_files("server");
    append(&server, &root.intermediate("Intermediate CA").pem());
    let target = tls_server(tls_config(&server, H2));
    let ran = cli(&target, &[&[root.ca_cert_flag().as_str()][..], CALL].concat());
    let line = "(CN=server) is not signed with the known key of CN=Intermediate CA\n";
    assert!(ran.stderr.contains(line), "{ran:?}");
}

#[test]
fn server_without_key_of_its_certificate() {
    let ca = Ca::new("Test CA");
    let mut server = ca.sign_files("server");
    server.key = ca.sign_files("other").key;
    let target = tls_server(tls_config(&server, H2));
    assert_error("tls_other_key", &target, &[&ca.ca_cert_flag()]);
}

#[test]
fn certificates_in_wrong_order() {
    let root = Ca::new("Root CA");
    let intermediate = root.intermediate("Intermediate CA");
    let server = intermediate.sign_files("server");
    let leaf = std::fs::read_to_string(&server.cert).unwrap();
    std::fs::write(&server.cert, format!("{}{leaf}", intermediate.pem())).unwrap();
    let target = tls_server(tls_config(&server, H2));
    assert_error("tls_chain_out_of_order", &target, &[&root.ca_cert_flag()]);
}

#[test]
fn no_ca_is_trusted() {
    let ca = Ca::new("Test CA");
    let target = tls_server(tls_config(&ca.sign_files("server"), H2));
    let run_with = |variable: &str, value: &str| {
        let mut command = command(&[&["--target", &target][..], CALL].concat());
        command.env(variable, value);
        run(command)
    };
    let peer = target.strip_prefix("https://").unwrap();
    let error = format!(
        "greet-cli: tls: the certificate of {peer} cannot be verified: there is no trusted CA\n\n\
         hint: pass the CA certificate with --ca-cert, or install the CA certificates of the system\n"
    );
    let missing = "No such file or directory (os error 2)";
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().display().to_string();
    for (variable, value, problem) in [
        ("SSL_CERT_FILE", "/no.pem", format!("could not read `/no.pem`: {missing}")),
        ("SSL_CERT_DIR", "/no", format!("could not read `/no`: {missing}")),
        ("SSL_CERT_DIR", &empty, format!("`{empty}` has no usable certificate")),
        (
            "SSL_CERT_FILE",
            "/dev/zero",
            "could not read `/dev/zero`: it is not a regular file".into(),
        ),
    ] {
        let note = format!("greet-cli: {variable}: {problem}\n");
        run_with(variable, value).assert("", &(note + &error), 3);
    }
}

#[test]
fn certificate_for_other_name() {
    assert_certificate_error("tls_wrong_name", &["service.example", "10.0.0.1"], |_| {});
}

#[test]
fn address_as_dns_name() {
    assert_certificate_error("tls_address_as_dns_name", &LOOPBACK, |params| {
        params.subject_alt_names = vec![SanType::DnsName("127.0.0.1".try_into().unwrap())];
    });
}

#[test]
fn wildcard_that_does_not_include_name() {
    let ca = Ca::new("Test CA");
    for (wildcard, name) in [
        ("*.localhost", "a.localhost"),
        ("*.example.com", "a.b.example.com"),
        ("*.example.com", "example.com"),
    ] {
        let server = ca.sign_files_with("server", &[wildcard, "other.example"], |_| {});
        let target = tls_server(tls_config(&server, H2));
        let server_name = format!("--server-name={name}");
        let ran = cli(&target, &[&[ca.ca_cert_flag().as_str(), &server_name][..], CALL].concat());
        let line = format!("is valid for {wildcard}, which does not include {name}\n");
        assert!(ran.stderr.contains(&line), "{ran:?}");
    }
    let server = ca.sign_files_with("server", &["*.localhost"], |_| {});
    let target = tls_server(tls_config(&server, H2));
    let flags = [&ca.ca_cert_flag(), "--server-name=a.localhost"];
    assert_error("tls_wildcard_mismatch", &target, &flags);
}

#[test]
fn certificate_without_names() {
    assert_certificate_error("tls_no_names", &[], |_| {});
}

#[test]
fn name_constraints_of_ca() {
    let ca = Ca::with("Test CA", KeyPair::generate().unwrap(), |params| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("example.com".to_owned())];
        let excluded_subtrees = Vec::new();
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees });
    });
    let target = tls_server(tls_config(&ca.sign_files("server"), H2));
    assert_error("tls_name_not_permitted", &target, &[&ca.ca_cert_flag()]);
}

#[test]
fn unsupported_critical_extension() {
    assert_certificate_error("tls_unsupported_extension", &LOOPBACK, |params| {
        // certificatePolicies: anyPolicy
        let content = vec![0x30, 8, 0x30, 6, 6, 4, 0x55, 0x1d, 0x20, 0];
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 32], content);
        extension.set_criticality(true);
        params.custom_extensions = vec![extension];
    });
}

#[test]
fn unsupported_signature_algorithm() {
    let ca = Ca::new("Test CA");
    let server = ca.sign_files("server");
    let (sha256, sha512) = (ECDSA_WITH_SHA256, [&ECDSA_WITH_SHA256[..9], &[4]].concat());
    patch_certificate(&server.cert, &sha256, &sha512);
    let target = tls_server(tls_config(&server, H2));
    assert_error("tls_ecdsa_sha512", &target, &[&ca.ca_cert_flag()]);
}

#[test]
fn unsupported_key_of_ca() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let ca = Ca::with("Test CA", key, |_| {});
    let target = tls_server(tls_config(&ca.sign_files("server"), H2));
    let p521 = [&SECP384R1[..6], &[35]].concat();
    patch_certificate(ca.ca_file(), &SECP384R1, &p521);
    assert_error("tls_p521_ca", &target, &[&ca.ca_cert_flag()]);
}

#[test]
fn certificate_of_version_1() {
    let ca = Ca::new("Test CA");
    let server = ca.sign_files("server");
    patch_certificate(&server.cert, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 0]);
    let target = tls_server(tls_config(&server, H2));
    assert_error("tls_version_1", &target, &[&ca.ca_cert_flag()]);
}

#[test]
fn certificate_expired() {
    assert_certificate_error("tls_expired", &LOOPBACK, expired);
}

#[test]
fn certificate_not_yet_valid() {
    assert_certificate_error("tls_not_yet_valid", &LOOPBACK, not_yet_valid);
}

#[test]
fn certificate_not_for_servers() {
    assert_certificate_error("tls_bad_certificate", &LOOPBACK, for_clients_only);
}

#[test]
fn client_certificate_required() {
    let ca = Ca::new("Test CA");
    let server = ca.sign_files("server");
    let daemon = Daemon::with_tls(&server, &[&ca.client_ca_flag()]);
    let tls12 = tls_server(mtls_config(&ca, &server, &TLS12));
    for target in [&daemon.target, &tls12] {
        assert_error("tls_client_certificate_required", target, &[&ca.ca_cert_flag()]);
    }
}

#[test]
fn client_certificate_rejected() {
    let (ca, other) = (Ca::new("Test CA"), Ca::new("Another CA"));
    let daemon = Daemon::with_tls(&ca.sign_files("server"), &[&ca.client_ca_flag()]);
    let [cert, key] = other.sign_files("client").client_flags();
    let snapshot = "tls_client_certificate_rejected";
    assert_error(snapshot, &daemon.target, &[&ca.ca_cert_flag(), &cert, &key]);
}

#[test]
fn no_http2_over_tls() {
    let ca = Ca::new("Test CA");
    let server = ca.sign_files("server");
    let none = tls_server(tls_config(&server, &[]));
    assert_error("tls_no_alpn", &none, &[&ca.ca_cert_flag()]);
    let http1 = tls_server(tls_config(&server, &[b"http/1.1"]));
    assert_error("tls_no_common_protocol", &http1, &[&ca.ca_cert_flag()]);
}

/// HAProxy, Node and others close at once after an alert.
#[test]
fn alert_is_read_before_immediate_close() {
    let (ca, other) = (Ca::new("Test CA"), Ca::new("Another CA"));
    let address = serve_tls_then_close(mtls_config(&ca, &ca.sign_files("server"), &TLS13));
    let [cert, key] = other.sign_files("client").client_flags();
    for _ in 0..10 {
        let ran = cli(&https(&address), &[&[ca.ca_cert_flag().as_str()][..], CALL].concat());
        assert!(ran.stderr.contains(" requires a client certificate\n"), "{ran:?}");
        let ca_cert = ca.ca_cert_flag();
        let identity = [&[ca_cert.as_str(), &cert, &key][..], CALL].concat();
        let ran = cli(&https(&address), &identity);
        assert!(ran.stderr.contains(" rejected the client certificate: unknown_ca\n"), "{ran:?}");
    }
}

#[test]
fn certificate_from_before_1970_is_read() {
    let ca = Ca::new("Test CA");
    let server = ca.sign_files_with("server", &LOOPBACK, |params| {
        params.not_before = rcgen::date_time_ymd(1960, 1, 1);
        params.not_after = rcgen::date_time_ymd(1961, 1, 1);
    });
    let target = tls_server(tls_config(&server, H2));
    for verb in [CALL, &["diagnose"]] {
        let ran = cli(&target, &[&[ca.ca_cert_flag().as_str()], verb].concat());
        assert_eq!(ran.code, Some(3), "{ran:?}");
    }
}

/// Encodes a fatal alert as a TLS record.
fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

#[test]
fn alert_determines_error() {
    assert_error(
        "tls_unknown_name",
        &https(&serve(reply(alert(112)))),
        &["--server-name=unknown.example"],
    );
    assert_error("tls_protocol_version", &https(&serve(reply(alert(70)))), &[]);
}

#[test]
fn broken_tls_record() {
    assert_error("tls_broken", &https(&serve(reply(b"\x16\x03\x03\0\x04\xff\xff\xff\xff"))), &[]);
}
