//! The binary as it is run: its one line of standard output, its exit codes, its environment.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use crate::configuration::run;

pub(crate) fn daemon(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greet-server"));
    command.args(flags).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[cfg(unix)]
pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Reads one line, sends SIGTERM, and returns that line, the rest of standard output, and the code.
#[cfg(unix)]
pub(crate) fn one_life(mut command: Command) -> (String, String, Option<i32>) {
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    signal(&child, rustix::process::Signal::TERM);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    (line, rest, child.wait().unwrap().code())
}

#[cfg(unix)]
#[test]
fn standard_output_is_one_line_that_names_the_address() {
    let (line, rest, code) = one_life(daemon(&["--listen=127.0.0.1:0"]));
    let port = line.strip_prefix("listening on http://127.0.0.1:").expect(&line);
    assert!(port.trim_end().parse::<u16>().unwrap() > 0);
    assert_eq!((rest.as_str(), code), ("", Some(0)));
}

#[test]
fn every_flag_but_the_actions_has_a_variable() {
    for flag in greet_server::command().get_arguments() {
        let is_action = matches!(flag.get_id().as_str(), "check" | "print_config");
        assert_eq!(flag.get_env().is_none(), is_action, "{flag}");
    }
}

#[cfg(unix)]
#[test]
fn start_and_stop_are_logged_with_one_field_per_value() {
    let mut child = daemon(&["--listen=127.0.0.1:0", "--max-streams=7"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    signal(&child, rustix::process::Signal::TERM);
    let log = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    let event = |message: &str| -> serde_json::Value {
        let events = log.lines().map(|line| serde_json::from_str(line).unwrap());
        events.into_iter().find(|event: &serde_json::Value| event["message"] == message).unwrap()
    };
    let started = event("server started");
    assert_eq!(started["addresses"], line.trim().strip_prefix("listening on ").unwrap());
    assert_eq!(started["max_streams"], 7);
    assert_eq!(started["request_timeout"], "30s");
    assert_eq!(started.get("max_connection_age"), None);
    assert_eq!(event("server stopped")["answered"], 0);
}

/// A variable that is left over from a shell session must not replace serving.
#[cfg(unix)]
#[test]
fn variable_named_after_an_action_has_no_effect() {
    let mut command = daemon(&["--listen=127.0.0.1:0"]);
    command.env("GREET_CHECK", "1").env("GREET_PRINT_CONFIG", "1");
    assert!(one_life(command).0.starts_with("listening on "));
}

/// As in `GREET_LISTEN=${LISTEN:-}`.
#[test]
fn empty_variable_is_unset() {
    let definition = greet_server::command();
    let variables = definition.get_arguments().filter_map(clap::Arg::get_env);
    let mut command = daemon(&["--check"]);
    command.envs(variables.map(|variable| (variable, "")));
    assert_eq!(command.output().unwrap().status.code(), Some(0));
}

/// Some supervisors signal the process and then its group: that is one request, not two.
#[cfg(unix)]
#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let mut command = daemon(&["--listen=127.0.0.1:0", "--drain-delay=500ms"]);
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    let begun = std::time::Instant::now();
    signal(&child, rustix::process::Signal::TERM);
    signal(&child, rustix::process::Signal::INT);
    child.wait().unwrap();
    assert!(std::time::Instant::now() - begun >= std::time::Duration::from_millis(500));
}

#[test]
fn an_address_in_use_is_one_line_with_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stdout, stderr) = run(&mut daemon(&["--listen", &address]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    let expected = format!("greet-server: could not listen on {address}: Address already in use");
    assert!(stderr.starts_with(&expected), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
}

/// The acceptor logs one refusal a second; the drain logs how many followed it.
#[cfg(unix)]
#[test]
fn refusals_suppressed_in_the_last_second_are_logged_at_shutdown() {
    let mut command = daemon(&["--listen=127.0.0.1:0", "--max-connections=1"]);
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on http://").unwrap();
    let connect = || std::net::TcpStream::connect(address).unwrap();
    let _admitted = connect();
    for _ in 0..3 {
        let closed = connect().read(&mut [0]);
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    }
    signal(&child, rustix::process::Signal::TERM);
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    let is_total = |line: &str| line.contains(r#""cause":"over_max_connections","suppressed":2"#);
    assert!(log.lines().any(is_total), "two refusals followed the one that was logged: {log}");
}
