//! Usage errors: exit code 2 and the expected form, before anything is sent.

use crate::support::{command, run};

#[track_caller]
fn refused(arguments: &[&str], reason: &str) {
    let ran = run(command(arguments));
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(2)), "{ran:?}");
    assert!(ran.stderr.contains(reason), "{ran:?}");
}

#[test]
fn invalid_value_error_names_flag_and_expected_form() {
    let hello = ["hello", "--name=Ada"];
    let with = |flag| [&hello[..], &[flag]].concat();
    refused(
        &with("--target=localhost"),
        "expected http://HOST:PORT, https://HOST:PORT, HOST:PORT, unix:PATH, dns:///NAME:PORT or \
         dns+https:///NAME:PORT",
    );
    refused(&with("--target=dns:///localhost:99999"), "expected http://HOST:PORT");
    refused(&with("--count=0"), "expected a whole number from 1 on");
    refused(&["load", "--fail-if=error-rate>1"], "error-rate>0.1% (or 0.001)");
    refused(&with("--target=dns://8.8.8.8/x:1"), "only this machine's are asked");
    refused(&with("--retries=many"), "--retries");
    refused(&with("--retry-on=OK"), "expected a status such as UNAVAILABLE");
    refused(&["--target=https://x", "--server-name=-", "health"], "expected a host's name");
    refused(&with("--timeout=5"), "expected a duration such as 250ms, 5s or 1m");
    refused(&with("--timeout=0s"), "expected a duration above zero");
    refused(&with("--header=nonsense"), "expected 'key: value'");
    refused(&with("--header=grpc-timeout: 1S"), "belongs to the protocol");
    refused(&with("--header=upgrade: h2c"), "belongs to the protocol");
    refused(&with("--header=x: @/no/such/file"), "could not read `/no/such/file` for the header x");
    refused(&with("--header=x-bin: ?"), "not base64");
    refused(&with("--output=xml"), "--output");
    refused(&["-q", "-v", "hello", "--name=Ada"], "cannot be used with");
}

#[test]
fn subcommand_and_name_are_required() {
    refused(&[], "Usage: greet-cli");
    refused(&["hello"], "--name <NAME>");
    refused(&["greet"], "unrecognized subcommand");
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
