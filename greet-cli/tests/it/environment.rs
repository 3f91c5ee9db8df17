//! What a script may want to set once has an environment variable; a flag wins over it.

use crate::support::{Daemon, Ran, command, nobody, run};

fn with(variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = command(arguments);
    command.envs(variables.iter().copied());
    run(command)
}

#[test]
fn the_target_comes_from_the_environment_and_the_flag_wins() {
    let daemon = Daemon::start(&[]);
    with(&[("GREET_TARGET", &daemon.target)], &["hello", "--name=Ada"]).left("Hello Ada\n", "", 0);

    let elsewhere = [("GREET_TARGET", "unix:/no/such.sock")];
    let flag = ["hello", "--name=Ada", "--target", &daemon.target];
    with(&elsewhere, &flag).left("Hello Ada\n", "", 0);
}

#[test]
fn so_do_the_others() {
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
    for variable in ["GREET_VERBOSE", "GREET_QUIET"] {
        assert_eq!(with(&[(variable, "0")], &["--version"]).code, Some(0));
    }
}

#[test]
fn every_connection_flag_has_one() {
    let help = with(&[], &["--help"]).stdout;
    let connection = help.split("Connection:").nth(1).unwrap().split("Exit codes:").next().unwrap();
    let flags = connection.lines().filter(|line| line.contains("--")).count();
    assert_eq!(connection.matches("[env: GREET_").count(), flags, "{connection}");
}
