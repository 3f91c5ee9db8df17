//! Environment variables: each connection flag has one, and the flag overrides it.

use crate::support::sample::{CALL, LINE};
use crate::support::{Daemon, unused_address, with};

#[test]
fn flag_overrides_target_variable() {
    let daemon = Daemon::start(&[]);
    let target = [("GREET_TARGET", daemon.target.as_str())];
    with(&target, CALL).assert(LINE, "", 0);

    let elsewhere = [("GREET_TARGET", "unix:/no/such.sock")];
    let flag = [CALL, &["--target", &daemon.target]].concat();
    with(&elsewhere, &flag).assert(LINE, "", 0);
}

#[test]
fn variables_set_other_flags() {
    let address = unused_address();
    let quiet = [("GREET_TARGET", address.as_str()), ("GREET_QUIET", "1")];
    with(&quiet, CALL).assert("", "", 3);

    let ran = with(&[("GREET_TARGET", &address), ("GREET_OUTPUT", "json")], &["health"]);
    assert_eq!(ran.object()["ok"], false);

    let variables = ["TIMEOUT", "CONNECT_TIMEOUT", "WAIT", "HEADER"];
    for variable in variables.map(|name| format!("GREET_{name}")) {
        let ran = with(&[(&variable, "nonsense")], &["health"]);
        assert_eq!(ran.code, Some(2), "{variable} is read: {ran:?}");
    }
}

#[test]
fn empty_variable_is_unset() {
    let daemon = Daemon::start(&[]);
    let names = ["TIMEOUT", "CONNECT_TIMEOUT", "WAIT", "HEADER", "OUTPUT", "VERBOSE", "QUIET"];
    let names = names.map(|name| format!("GREET_{name}"));
    let variables: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let call = [&["--target", &daemon.target][..], CALL].concat();
    with(&variables, &call).assert(LINE, "", 0);
    assert_eq!(with(&[("GREET_TARGET", "")], &["--timeout=1ms", "-q", "health"]).stderr, "");
}

#[test]
fn flag_overrides_variable_of_opposite_flag() {
    let address = unused_address();
    let target = ("GREET_TARGET", address.as_str());
    let verbose = with(&[target, ("GREET_QUIET", "1")], &[&["-v"][..], CALL].concat());
    assert!(verbose.stderr.contains("* tcp"), "{verbose:?}");
    with(&[target, ("GREET_VERBOSE", "1")], &[&["-q"][..], CALL].concat()).assert("", "", 3);
    let off = [target, ("GREET_QUIET", "false"), ("GREET_VERBOSE", "0")];
    assert!(with(&off, CALL).stderr.starts_with("greet-cli: tcp: "));
}

/// A script may set the number to 0, and an environment the statuses for the flag of some commands.
#[test]
fn retry_on_needs_retries_from_flag_or_variable() {
    let daemon = Daemon::start(&[]);
    let call = [&["--target", &daemon.target][..], CALL].concat();
    let on = "--retry-on=UNAVAILABLE";
    with(&[("GREET_RETRIES", "1")], &[&call[..], &[on]].concat()).assert(LINE, "", 0);
    with(&[], &[&call[..], &[on, "--retries=0"]].concat()).assert(LINE, "", 0);
    with(&[("GREET_RETRY_ON", "UNAVAILABLE")], &call).assert(LINE, "", 0);
    let empty = with(&[("GREET_RETRIES", "")], &[&call[..], &[on]].concat());
    assert_eq!(empty.code, Some(2), "{empty:?}");
}

#[test]
fn every_connection_flag_has_variable() {
    let help = with(&[], &["--help"]).stdout;
    let connection = help.split("Connection:").nth(1).unwrap().split("Exit codes:").next().unwrap();
    let is_flag = |line: &&str| ["  -", "      --"].iter().any(|start| line.starts_with(start));
    let flags = connection.lines().filter(is_flag).count();
    assert_eq!(connection.matches("[env:").count(), flags, "{connection}");
}

#[test]
fn invalid_variable_is_named() {
    let form = "is not a duration such as 250ms, 5s or 1m";
    let soon = [("GREET_TIMEOUT", "soon")];
    with(&soon, &["health"]).assert("", &format!("greet-cli: GREET_TIMEOUT: \"soon\" {form}\n"), 2);
    with(&soon, &[CALL[0]]).assert("", &format!("greet-cli: GREET_TIMEOUT: \"soon\" {form}\n"), 2);
    let line = format!("greet-cli: --timeout: \"later\" {form}\n");
    with(&soon, &["--timeout=later", "health"]).assert("", &line, 2);
    let line = "greet-cli: GREET_INSECURE: \"flase\" is neither true nor false\n";
    with(&[("GREET_INSECURE", "flase")], &["health"]).assert("", line, 2);
}

#[test]
fn variable_that_needs_another_is_named() {
    for (variable, other) in
        [("GREET_CERT", "--key (GREET_KEY)"), ("GREET_KEY", "--cert (GREET_CERT)")]
    {
        let line = format!("greet-cli: {variable}: needs {other}\n");
        with(&[(variable, "file.pem")], &["--target=https://x", "health"]).assert("", &line, 2);
    }
    let both = [("GREET_CERT", "/no/such"), ("GREET_KEY", "/no/such")];
    let ran = with(&both, &["--target=https://x", "health"]);
    assert!(ran.stderr.contains("`/no/such`"), "{ran:?}");
}

#[test]
fn unknown_variable_is_a_warning() {
    let address = unused_address();
    let warning = "greet-cli: GREET_TIMOUT: unknown environment variable, ignored; \
                   did you mean GREET_TIMEOUT?\n";
    let misspelt = [("GREET_TARGET", address.as_str()), ("GREET_TIMOUT", "1s")];
    let ran = with(&misspelt, &["health"]);
    assert!(ran.stderr.starts_with(warning), "{ran:?}");
    assert_eq!(with(&misspelt, &["-q", "health"]).stderr, "");
    assert_eq!(with(&misspelt, &["completions", "bash"]).stderr, "");
}

/// A block scalar in YAML ends with a newline.
#[test]
fn trailing_newline_in_header_variable_is_ignored() {
    let daemon = Daemon::start(&[]);
    let headers = [("GREET_HEADER", "a: b\nc: d\n")];
    let call = [&["--target", &daemon.target][..], CALL].concat();
    with(&headers, &call).assert(LINE, "", 0);
}

/// Each program ignores the variables of the other without a warning.
#[test]
fn variables_of_both_programs_are_listed() {
    use greet_flags::product::VARIABLE_PREFIX;
    use greet_flags::variables::{CLI_VARIABLES, SERVER_VARIABLES};

    let variables = |command: clap::Command| {
        let flags = command.get_arguments();
        let variables = flags.filter_map(|flag| {
            Some(flag.get_env()?.to_str()?.strip_prefix(VARIABLE_PREFIX)?.to_owned())
        });
        let mut variables: Vec<_> = variables.collect();
        variables.sort();
        variables
    };
    assert_eq!(variables(greet_cli::command()), CLI_VARIABLES);
    assert_eq!(variables(greet_server::command()), SERVER_VARIABLES);
}
