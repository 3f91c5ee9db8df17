//! `--check` and `--print-config`: what is told of a configuration without starting.

use std::io::Write as _;
use std::process::Stdio;

use greet_testkit::certs::Ca;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::certs::Files;
use crate::configuration::{complaints, said, with_file};
use crate::daemon::daemon;

#[test]
fn what_is_printed_is_what_would_hold_and_what_is_not_set_is_a_comment() {
    let printed = said(&mut daemon(&["--print-config", "--workers=3", "--instance=7"])).1;
    for line in [
        "workers = 3\n",
        "max-connections = ",
        "log-format = \"json\"\n",
        "instance = \"7\"\n",
        "# tls-cert = \"FILE\"  # not set\n",
    ] {
        assert!(printed.contains(&format!("\n{line}")), "{printed}");
    }
    for unset in printed.split("\n\n").filter(|paragraph| paragraph.contains("\n# ")) {
        let is_off = !unset.contains("[default: ") || unset.contains("off]");
        assert!(is_off, "nobody works out the default of {unset}");
    }
}

/// As in `greet-server --print-config | greet-server --check --config /dev/stdin`.
#[cfg(unix)]
#[test]
fn what_is_printed_can_be_read_and_prints_the_same() {
    let flags = ["--print-config", "--listen=a:1,unix:b", "--instance=\"\\ '", "--grpc-web"];
    let (_, printed, told) = said(&mut daemon(&flags));
    assert!(printed.contains("listen = [\"a:1\", \"unix:b\"]\n"), "{told}");
    let piped = |flag: &str| {
        let mut command = daemon(&["--config=/dev/stdin", flag]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(printed.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let checked = piped("--check");
    let told = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(told, "greet-server: the configuration is good\n");
    assert_eq!((checked.status.code(), checked.stdout.len()), (Some(0), 0));
    assert_eq!(String::from_utf8(piped("--print-config").stdout).unwrap(), printed);
}

#[test]
fn the_example_says_every_default_and_all_of_them_are_good() {
    let example = include_str!("../../../deploy/greet.example.toml");
    // What is said behind a placeholder is why it has no default.
    let defaults = example.lines().filter_map(|line| {
        let (key, value) = line.strip_prefix("# ")?.split_once(" = ")?;
        (!key.contains(' ') && !value.contains("  # ")).then(|| format!("{key} = {value}\n"))
    });
    let defaults: String = defaults.collect();
    let (code, stdout, stderr) = with_file(&defaults, &["--check"]);
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    let printed = |file| with_file(file, &["--print-config"]).1;
    assert_eq!(printed(&defaults), printed(""), "a default of the example is another");
}

#[test]
fn checking_tells_of_tls_files_that_cannot_be_served() {
    let ca = Ca::new("Greet Test CA");
    let (identity, another) = (ca.sign_serial(1), ca.sign_serial(2));
    let files = Files::new(&identity);
    let check = |more: &[&str]| {
        let [cert, key] = files.flags();
        said(daemon(&["--check", &cert, &key]).args(more))
    };
    let good = (Some(0), String::new(), "greet-server: the configuration is good\n".to_owned());
    assert_eq!(check(&[]), good);

    let told = complaints(check(&["--tls-client-ca=no-such.pem", "--workers=0"]));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("--workers (GREET_WORKERS): "), "{told:?}");
    assert!(told[1].starts_with("could not read `no-such.pem`: "), "{told:?}");

    let key = files.put("key.pem", &another.key_pem);
    let cert = files.path("cert.pem").display().to_string();
    let mismatch = format!("the key in `{key}` does not match the certificate in `{cert}`");
    assert_eq!(complaints(check(&[])), [mismatch]);

    let section = "ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    files.put("key.pem", &format!("-----BEGIN {section}"));
    let told = complaints(check(&[]));
    assert!(told[0].ends_with("it is encrypted, and the daemon cannot ask for a passphrase"));

    files.put("cert.pem", "no PEM");
    let no_pem = "has no usable certificate: it has no PEM section CERTIFICATE";
    assert_eq!(complaints(check(&[])), [format!("`{cert}` {no_pem}")]);
}

/// It would be served, with a warning.
#[test]
fn checking_tells_of_an_expired_certificate_and_finds_the_configuration_good() {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().unwrap();
    let files = Files::new(&Ca::new("Greet Test CA").sign_serial(1));
    let cert = files.put("cert.pem", &params.self_signed(&key).unwrap().pem());
    files.put("key.pem", &key.serialize_pem());
    let [cert_flag, key_flag] = files.flags();
    let (code, stdout, stderr) = said(&mut daemon(&["--check", &cert_flag, &key_flag]));
    assert_eq!((code, stdout.as_str()), (Some(0), ""));
    let expected = "greet-server: the configuration is good\n";
    assert_eq!(stderr, format!("greet-server: `{cert}`: the certificate has expired\n{expected}"));
}
