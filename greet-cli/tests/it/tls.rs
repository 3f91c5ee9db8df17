//! `https://` targets: trust, client certificates and the expected server name.

use greet_testkit::certs::Ca;

use crate::support::sample::{CALL, LINE};
use crate::support::{CommandOutput, Daemon, cli, command, run};

/// Starts a daemon with a certificate for these names.
fn daemon(names: &[&str]) -> (Ca, Daemon) {
    let ca = Ca::new("Test CA");
    let server = ca.sign_files_with("server", names, |_| {});
    (ca, Daemon::with_tls(&server, &[]))
}

/// Starts a daemon that requires client certificates, and returns the flags of a client with one.
fn mtls_daemon() -> (Ca, Daemon, [String; 2]) {
    let ca = Ca::new("Test CA");
    let daemon = Daemon::with_tls(&ca.sign_files("server"), &[&ca.client_ca_flag()]);
    let client = ca.sign_files("client").client_flags();
    (ca, daemon, client)
}

fn call(daemon: &Daemon, flags: &[&str]) -> CommandOutput {
    cli(&daemon.target, &[flags, CALL].concat())
}

#[test]
fn server_with_trusted_ca_is_called() {
    let (ca, daemon) = daemon(&["localhost", "127.0.0.1"]);
    call(&daemon, &[&ca.ca_cert_flag()]).assert(LINE, "", 0);
    let object = call(&daemon, &[&ca.ca_cert_flag(), "--output=json"]).object();
    assert!(object["timing_us"]["tls"].as_u64().unwrap() > 0, "{object}");
}

#[test]
fn load_accepts_tls_flags() {
    let (ca, daemon, [cert, key]) = mtls_daemon();
    let flags = [&ca.ca_cert_flag(), &cert, &key, "--output=json", "load", "--count=50"];
    let object = cli(&daemon.target, &flags).object();
    assert_eq!(object["calls"]["by_status"]["OK"], 50, "{object}");
    let ran = cli(&daemon.target, &[&ca.ca_cert_flag(), "load", "--count=50"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{ran:?}");
    assert!(ran.stderr.starts_with("greet-cli: tls: "), "{ran:?}");
}

#[test]
fn trust_comes_from_variable_or_system() {
    let (ca, daemon) = daemon(&["127.0.0.1"]);
    for variable in ["GREET_CA_CERT", "SSL_CERT_FILE"] {
        let mut command = command(&[&["--target", &daemon.target][..], CALL].concat());
        command.env(variable, ca.ca_file());
        run(command).assert(LINE, "", 0);
    }
}

#[test]
fn client_certificate_is_accepted() {
    let (ca, daemon, [cert, key]) = mtls_daemon();
    call(&daemon, &[&ca.ca_cert_flag(), &cert, &key]).assert(LINE, "", 0);
}

#[test]
fn server_name_overrides_host() {
    let (ca, daemon) = daemon(&["service.example"]);
    let name = "--server-name=service.example";
    call(&daemon, &[&ca.ca_cert_flag(), name]).assert(LINE, "", 0);
}

#[test]
fn server_name_can_be_address() {
    let (ca, daemon) = daemon(&["::1"]);
    call(&daemon, &[&ca.ca_cert_flag(), "--server-name=::1"]).assert(LINE, "", 0);
}

#[test]
fn insecure_prints_warning() {
    let (_, daemon) = daemon(&["service.example"]);
    let warning = "greet-cli: --insecure: the server's certificate is not verified\n";
    call(&daemon, &["--insecure"]).assert(LINE, warning, 0);
    call(&daemon, &["--insecure", "--quiet"]).assert(LINE, "", 0);
}

/// Wireshark reads this file.
#[test]
fn sslkeylogfile_receives_keys() {
    let (ca, daemon) = daemon(&["127.0.0.1"]);
    let log = ca.path("keys.log");
    let mut command =
        command(&[&["--target", &daemon.target, &ca.ca_cert_flag()][..], CALL].concat());
    command.env("SSLKEYLOGFILE", &log);
    run(command).assert(LINE, "", 0);
    let keys = std::fs::read_to_string(log).unwrap();
    assert!(keys.contains("CLIENT_TRAFFIC_SECRET_0 "), "{keys}");
}

#[test]
fn unusable_sslkeylogfile_is_reported() {
    let (ca, daemon) = daemon(&["127.0.0.1"]);
    let mut command =
        command(&[&["--target", &daemon.target, &ca.ca_cert_flag()][..], CALL].concat());
    command.env("SSLKEYLOGFILE", "/no/keys.log");
    let note = "greet-cli: SSLKEYLOGFILE: could not write `/no/keys.log`: \
                No such file or directory (os error 2)\n";
    run(command).assert(LINE, note, 0);
}

#[test]
fn flags_without_effect_are_rejected() {
    let rejected = |flags: &[&str], problem: &str| {
        let ran = run(command(&[flags, CALL].concat()));
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(problem), "{ran:?}");
    };
    rejected(
        &["--ca-cert=x"],
        "--ca-cert: has no effect without an https:// or dns+https:/// target",
    );
    rejected(&["--target=https://x:1", "--cert=x"], "--cert: needs --key (GREET_KEY)");
    let ran = run(command(&[CALL, &["--insecure"]].concat()));
    assert!(
        ran.stderr
            .contains("--insecure: has no effect without an https:// or dns+https:/// target"),
        "{ran:?}"
    );
}
