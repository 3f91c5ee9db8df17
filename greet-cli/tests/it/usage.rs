//! Usage errors: exit code 2 and the expected form, before anything is sent.

use crate::support::sample::CALL;
use crate::support::{command, run};

#[track_caller]
fn rejected(arguments: &[&str], reason: &str) {
    let ran = run(command(arguments));
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(2)), "{ran:?}");
    assert!(ran.stderr.contains(reason), "{ran:?}");
}

#[test]
fn invalid_value_error_names_flag_and_expected_form() {
    let with = |flag| [CALL, &[flag]].concat();
    rejected(&with("--target=ftp://x:1"), "--target: \"ftp://x:1\" is not http://HOST:PORT");
    rejected(&with("--target=dns:///localhost:99999"), "is not http://HOST:PORT");
    rejected(&with("--count=0"), "--count: \"0\" is not a whole number above zero");
    rejected(&["load", "--fail-if=error-rate>1"], "error-rate>0.1% (or 0.001)");
    rejected(&with("--target=dns://8.8.8.8/x:1"), "--target: ");
    rejected(
        &with("--retries=many"),
        "--retries: \"many\" is not a whole number between 0 and 1000",
    );
    rejected(&with("--retry-on=OK"), "--retry-on: \"OK\" is not an error status");
    rejected(&with("--authority=http://x"), "--authority: \"http://x\" is not NAME or NAME:PORT");
    let authority = ["--target=https://x", "--authority=a..b", "health"];
    rejected(&authority, "--authority: \"a..b\" cannot be in a certificate; use --server-name");
    let server_name = ["--target=https://x", "--server-name=-", "health"];
    rejected(&server_name, "--server-name: \"-\" is not a host name");
    rejected(&with("--timeout=soon"), "\"soon\" is not a duration such as 250ms, 5s or 1m");
    rejected(&with("--timeout=0s"), "--timeout: 0s is not above zero");
    rejected(&with("--header=nonsense"), "expected 'key: value'");
    rejected(&with("--header=grpc-timeout: 1S"), "belongs to the protocol");
    rejected(&with("--header=upgrade: h2c"), "belongs to the protocol");
    rejected(&with("--header=host: x"), "use --authority to set the name of the server");
    rejected(
        &with("--header=x: @/no/such/file"),
        "could not read `/no/such/file` for the header x",
    );
    rejected(&with("--header=x-bin: ?"), "not base64");
    rejected(&with("--header=x: caf\u{e9}"), "header x is not printable ASCII at byte 4");
    rejected(&with("--output=xml"), "--output: \"xml\" is not one of text, json");
    rejected(&[&["-q", "-v"][..], CALL].concat(), "--verbose: cannot be used with --quiet");
}

#[test]
fn usage_error_is_one_line_with_suggestion() {
    for (arguments, line) in [
        (&["health", "--timeout=5"][..], "--timeout: 5 has no unit; did you mean 5s?"),
        (&["health", "A B"], "unexpected argument 'A B' found; did you mean --service \"A B\"?"),
        (&["health", "x.Y"], "unexpected argument 'x.Y' found; did you mean --service x.Y?"),
        (&["health", "x:1"], "unexpected argument 'x:1' found; did you mean --target x:1?"),
        (
            &["health", "--tineout=1s"],
            "unexpected argument '--tineout' found; did you mean --timeout?",
        ),
        (&["--json={}", "call"], "unexpected argument '--json' found; 'call --json' exists"),
        (
            &["health", "--timeout", "-1s"],
            "--timeout: \"-1s\" is not a duration such as 250ms, 5s or 1m",
        ),
        (
            &["health", "--retries=1", "--retry-on=UNAVAILBLE"],
            "--retry-on: \"UNAVAILBLE\" is not an error status such as UNAVAILABLE or \
             RESOURCE_EXHAUSTED; did you mean UNAVAILABLE?",
        ),
        (&["load", "--count", "-1"], "--count: \"-1\" is not a whole number above zero"),
        (&["--target=https://x", "--key=k", "health"], "--key: needs --cert (GREET_CERT)"),
        (&["cal"], "unrecognized subcommand 'cal'; did you mean call?"),
        (
            &["completions", "fisch"],
            "\"fisch\" is not one of bash, elvish, fish, powershell, zsh; did you mean \"fish\"?",
        ),
        (&["health", "--retry-on=UNAVAILABLE"], "--retry-on: has no effect without --retries"),
        (
            &["health", "--ca-cert=ca.pem"],
            "--ca-cert: has no effect without an https:// or dns+https:/// target",
        ),
    ] {
        run(command(arguments)).assert("", &format!("greet-cli: {line}\n"), 2);
    }
}

#[test]
fn subcommand_is_required() {
    rejected(&[], "Usage: greet-cli");
}

#[test]
fn header_value_is_not_printed() {
    let mut command = command(&["health"]);
    command.env("GREET_HEADER", "authorization Bearer s3cret");
    let ran = run(command);
    assert_eq!(ran.code, Some(2));
    assert!(!ran.stderr.contains("s3cret"), "{ran:?}");
}

#[test]
fn offline_commands_ignore_connection_flags() {
    let mut command = command(&["man"]);
    command.env("GREET_HEADER", "x: @/no/such/file");
    assert_eq!(run(command).code, Some(0));
}

/// Paths need not be UTF-8, so that the second argument may be at fault.
#[cfg(unix)]
#[test]
fn argument_that_is_not_utf8_is_named_and_escaped() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let path: &[u8] = b"--ca-cert=/no/such\xff";
    for (arguments, line) in [
        (
            &[&b"--service=Zo\xc3\xab\xff\x1b[2J"[..]][..],
            r#"--service: "Zoë\xff\u{1b}[2J" is not UTF-8"#,
        ),
        (&[b"--service", b"a=\xff"], r#"--service: "a=\xff" is not UTF-8"#),
        (&[path, b"--service=a", b"--timeout=\xff"], r#"--timeout: "\xff" is not UTF-8"#),
        (&[b"--service=a", b"-Hs3cret\xff"], "--header: the value is not UTF-8"),
        (&[b"--service=a", b"-H", b"s3cret\xff"], "--header: the value is not UTF-8"),
        (&[b"--service=a", b"--header=s3cret\xff"], "--header: the value is not UTF-8"),
        (&[b"--service=a", b"--header", b"s3cret\xff"], "--header: the value is not UTF-8"),
    ] {
        let mut command = command(&["health"]);
        command.args(arguments.iter().map(|argument| OsStr::from_bytes(argument)));
        run(command).assert("", &format!("greet-cli: {line}\n"), 2);
    }
    for variable in ["GREET_HEADER", "GREET_TIMEOUT", "GREET_INSECURE"] {
        let mut command = command(&["health"]);
        command.env(variable, OsStr::from_bytes(b"s3cret\xff"));
        command.env("GREET_CA_CERT", OsStr::from_bytes(b"\xff"));
        run(command).assert("", &format!("greet-cli: {variable}: the value is not UTF-8\n"), 2);
    }
}
