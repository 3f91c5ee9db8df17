//! The binary as it is run: its one line of standard output, its exit codes, its environment.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};

pub(crate) fn daemon(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greet-server"));
    command.args(flags).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn fails(flags: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = daemon(flags).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
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

#[cfg(unix)]
#[test]
fn every_flag_has_an_environment_variable_and_the_flag_wins() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("unix:{}", directory.path().join(name).display());
    let mut command = daemon(&["--listen", &path("flag")]);
    command.env("GREET_LISTEN", path("environment"));
    assert_eq!(one_life(command).0, format!("listening on {}\n", path("flag")));

    let mut command = daemon(&[]);
    command.env("GREET_LISTEN", path("environment"));
    assert_eq!(one_life(command).0, format!("listening on {}\n", path("environment")));

    let help = String::from_utf8(daemon(&["--help"]).output().unwrap().stdout).unwrap();
    let flags = help.matches("\n      --").count();
    let actions = ["check", "print-config"].len();
    assert_eq!(help.matches("[env: GREET_").count(), flags - actions, "{help}");
}

/// A variable that is left over from a shell session must not replace serving.
#[cfg(unix)]
#[test]
fn actions_have_no_environment_variable() {
    let mut command = daemon(&["--listen=127.0.0.1:0"]);
    command.env("GREET_CHECK", "1").env("GREET_PRINT_CONFIG", "1");
    assert!(one_life(command).0.starts_with("listening on "));
}

/// As in `GREET_LISTEN=${LISTEN:-}`.
#[test]
fn an_empty_variable_is_not_set() {
    let help = daemon(&["--help"]).output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let variables = help.split("[env: ").skip(1).map(|rest| rest.split(']').next().unwrap());
    let mut command = daemon(&["--no-such-flag"]);
    command.envs(variables.map(|variable| (variable, "")));
    let told = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(told.starts_with("error: unexpected argument '--no-such-flag'"), "{told}");
    let mut command = daemon(&["--listen=127.0.0.1:0"]);
    command.env("GREET_WORKERS", "").env("GREET_INSTANCE", "").env("GREET_LOG_LEVEL", "");
    #[cfg(unix)]
    assert_eq!(one_life(command).2, Some(0));
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
fn all_bad_values_are_told_at_once_with_exit_code_2() {
    let (code, stdout, stderr) = fails(&["--workers=none", "--drain-timeout=later"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert_eq!(
        stderr,
        "greet-server: --workers (GREET_WORKERS): \"none\" is not a whole number from 1 to 1024\n\
         greet-server: --drain-timeout (GREET_DRAIN_TIMEOUT): \"later\" is not a duration such as \
         250ms, 5s or 1m, at most 1day\n"
    );
    assert_eq!(fails(&["--no-such-flag"]).0, Some(2));
}

#[test]
fn an_address_in_use_is_one_line_with_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stdout, stderr) = fails(&["--listen", &address]);
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
