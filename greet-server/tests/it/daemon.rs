//! The binary as a process: standard output, exit codes, environment and signals.

#[cfg(unix)]
use std::io::Read as _;
use std::process::Output;
#[cfg(unix)]
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::Signal;

use crate::support::process::daemon;
#[cfg(unix)]
use crate::support::process::{Process, start_and_stop};

/// Returns exit code, standard output and standard error of a daemon that does not start.
fn fails(flags: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = daemon(flags).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[cfg(unix)]
#[test]
fn standard_output_is_one_line_with_the_address() {
    let mut process = Process::start(&mut daemon(&["--listen=127.0.0.1:0"]));
    let line = process.next_line();
    let port = line.strip_prefix("listening on http://127.0.0.1:").expect(&line);
    assert!(port.parse::<u16>().unwrap() > 0);
    let exit = process.stop();
    assert_eq!((exit.stdout.as_str(), exit.code), ("", Some(0)));
}

#[cfg(unix)]
#[test]
fn every_setting_has_a_variable_and_its_flag_takes_precedence() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("unix:{}", directory.path().join(name).display());
    let mut command = daemon(&["--listen", &path("flag")]);
    command.env("GREET_LISTEN", path("environment"));
    assert_eq!(start_and_stop(command).0, format!("listening on {}", path("flag")));

    let mut command = daemon(&[]);
    command.env("GREET_LISTEN", path("environment"));
    assert_eq!(start_and_stop(command).0, format!("listening on {}", path("environment")));

    let help = String::from_utf8(daemon(&["--help"]).output().unwrap().stdout).unwrap();
    let flags = help.matches("\n      --").count();
    let actions = ["check", "print-config"].len();
    assert_eq!(help.matches("[env: GREET_").count(), flags - actions, "{help}");
}

/// A variable left over from a shell session must not keep the daemon from serving.
#[cfg(unix)]
#[test]
fn actions_have_no_environment_variable() {
    let mut command = daemon(&["--listen=127.0.0.1:0"]);
    command.env("GREET_CHECK", "1").env("GREET_PRINT_CONFIG", "1");
    assert!(start_and_stop(command).0.starts_with("listening on "));
}

/// As in `GREET_LISTEN=${LISTEN:-}`.
#[test]
fn empty_variable_is_not_set() {
    let help = daemon(&["--help"]).output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let variables = help.split("[env: ").skip(1).map(|rest| rest.split(']').next().unwrap());
    let mut command = daemon(&["--no-such-flag"]);
    command.envs(variables.map(|variable| (variable, "")));
    let stderr = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(stderr.starts_with("error: unexpected argument '--no-such-flag'"), "{stderr}");
    let mut command = daemon(&["--listen=127.0.0.1:0"]);
    command.env("GREET_WORKERS", "").env("GREET_INSTANCE", "").env("GREET_LOG_LEVEL", "");
    #[cfg(unix)]
    assert_eq!(start_and_stop(command).1, Some(0));
}

/// Some supervisors signal the process and then its group: that is one request, not two.
#[cfg(unix)]
#[test]
fn two_signals_at_once_count_as_one() {
    let mut process = Process::start(&mut daemon(&["--listen=127.0.0.1:0", "--drain-delay=500ms"]));
    process.next_line();
    let started = Instant::now();
    process.signal(Signal::TERM);
    process.signal(Signal::INT);
    process.wait();
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[test]
fn all_invalid_values_are_reported_with_exit_code_2() {
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
fn address_in_use_is_one_line_with_exit_code_1() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (code, stdout, stderr) = fails(&["--listen", &address]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    let expected = format!("greet-server: could not listen on {address}: Address already in use");
    assert!(stderr.starts_with(&expected), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
}

/// The acceptor logs one refusal a second; the drain logs the number of the suppressed ones.
#[cfg(unix)]
#[test]
fn refusals_of_the_last_second_are_logged_at_shutdown() {
    let mut process = Process::start(&mut daemon(&["--listen=127.0.0.1:0", "--max-connections=1"]));
    let address = process.next_address();
    let connect = || std::net::TcpStream::connect(&address).unwrap();
    let _admitted = connect();
    for _ in 0..3 {
        let read = connect().read(&mut [0]);
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    let exit = process.stop();
    let is_total = |line: &str| line.contains(r#""cause":"over_max_connections","suppressed":2"#);
    assert!(exit.log.lines().any(is_total), "{exit:?}");
}
