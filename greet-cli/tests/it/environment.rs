//! What a script may want to set once has an environment variable; a flag wins over it.

use crate::support::{Daemon, Ran, command, nobody, run};

fn with(variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = command(arguments);
    command.envs(variables.iter().copied());
    run(command)
}

#[test]
fn flag_overrides_target_variable() {
    let daemon = Daemon::start(&[]);
    with(&[("GREET_TARGET", &daemon.target)], &["hello", "--name=Ada"]).left("Hello Ada\n", "", 0);

    let elsewhere = [("GREET_TARGET", "unix:/no/such.sock")];
    let flag = ["hello", "--name=Ada", "--target", &daemon.target];
    with(&elsewhere, &flag).left("Hello Ada\n", "", 0);
}

#[test]
fn other_flags_have_variables() {
    let nobody = nobody();
    let quiet = [("GREET_TARGET", nobody.as_str()), ("GREET_QUIET", "1")];
    with(&quiet, &["hello", "--name=Ada"]).left("", "", 3);

    let ran = with(&[("GREET_TARGET", &nobody), ("GREET_OUTPUT", "json")], &["health"]);
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
    with(&variables, &["--target", &daemon.target, "hello", "--name=Ada"]).left(
        "Hello Ada\n",
        "",
        0,
    );
    assert_eq!(with(&[("GREET_TARGET", "")], &["--timeout=1ms", "-q", "health"]).stderr, "");
}

#[test]
fn flag_overrides_variable_of_opposite_flag() {
    let nobody = nobody();
    let target = ("GREET_TARGET", nobody.as_str());
    let verbose = with(&[target, ("GREET_QUIET", "1")], &["-v", "hello", "--name=Ada"]);
    assert!(verbose.stderr.contains("* tcp"), "{verbose:?}");
    with(&[target, ("GREET_VERBOSE", "1")], &["-q", "hello", "--name=Ada"]).left("", "", 3);
    let off = [target, ("GREET_QUIET", "false"), ("GREET_VERBOSE", "0")];
    assert!(with(&off, &["hello", "--name=Ada"]).stderr.starts_with("greet-cli: tcp: "));
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
    with(&soon, &["health"]).left("", &format!("greet-cli: GREET_TIMEOUT: \"soon\" {form}\n"), 2);
    with(&soon, &["hello"]).left("", &format!("greet-cli: GREET_TIMEOUT: \"soon\" {form}\n"), 2);
    let line = format!("greet-cli: --timeout: \"later\" {form}\n");
    with(&soon, &["--timeout=later", "health"]).left("", &line, 2);
    let line = "greet-cli: GREET_INSECURE: \"flase\" is neither true nor false\n";
    with(&[("GREET_INSECURE", "flase")], &["health"]).left("", line, 2);
}

#[test]
fn unknown_variable_is_a_warning() {
    let nobody = nobody();
    let warning = "greet-cli: GREET_TIMOUT: unknown environment variable, ignored; \
                   did you mean GREET_TIMEOUT?\n";
    let misspelt = [("GREET_TARGET", nobody.as_str()), ("GREET_TIMOUT", "1s")];
    let ran = with(&misspelt, &["health"]);
    assert!(ran.stderr.starts_with(warning), "{ran:?}");
    assert_eq!(with(&misspelt, &["-q", "health"]).stderr, "");
    assert_eq!(with(&misspelt, &["completions", "bash"]).stderr, "");
}

/// As a block of lines in YAML ends.
#[test]
fn trailing_newline_in_header_variable_is_ignored() {
    let daemon = Daemon::start(&[]);
    let headers = [("GREET_HEADER", "a: b\nc: d\n")];
    with(&headers, &["--target", &daemon.target, "hello", "--name=Ada"]).left("Hello Ada\n", "", 0);
}
