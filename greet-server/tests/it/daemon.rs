//! The binary as a process: standard output, exit codes, environment and signals.

use std::io::Read as _;
use std::time::{Duration, Instant};

use greet_testkit::certs::{Ca, IdentityDirectory};
use rustix::process::Signal;

use crate::support::process::{Process, daemon, run, start_and_stop};

#[test]
fn standard_output_is_one_line_with_the_address() {
    let mut process = Process::start(&mut daemon(&["--listen=127.0.0.1:0"]));
    let line = process.next_line();
    let port = line.strip_prefix("listening on http://127.0.0.1:").expect(&line);
    assert!(port.parse::<u16>().unwrap() > 0);
    let exit = process.stop();
    assert_eq!((exit.stdout.as_str(), exit.code), ("", Some(0)));
}

#[test]
fn version_is_that_of_the_build() {
    let expected = format!("greet-server {}\n", greet_flags::product::version());
    assert_eq!(run(&mut daemon(&["--version"])), (Some(0), expected, String::new()));
}

#[test]
fn addresses_are_only_in_the_log_with_no_announce() {
    let flags = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--no-announce"];
    let mut process = Process::start(&mut daemon(&flags));
    process.wait_for_log("server started");
    let exit = process.stop();
    assert_eq!((exit.stdout.as_str(), exit.code), ("", Some(0)));
    let started: serde_json::Value =
        serde_json::from_str(exit.log.lines().next().unwrap()).unwrap();
    for addresses in ["addresses", "admin"] {
        let port = started[addresses].as_str().unwrap().strip_prefix("http://127.0.0.1:");
        assert!(port.unwrap().parse::<u16>().unwrap() > 0, "{started}");
    }
}

#[test]
fn every_flag_but_the_actions_has_a_variable() {
    for flag in greet_server::command().get_arguments() {
        let is_action = matches!(flag.get_id().as_str(), "check" | "print_config");
        assert_eq!(flag.get_env().is_none(), is_action, "{flag}");
    }
}

#[test]
fn start_and_stop_are_logged_with_one_field_per_value() {
    let mut process = Process::start(&mut daemon(&["--listen=127.0.0.1:0", "--max-streams=7"]));
    let line = process.next_line();
    let log = process.stop().log;
    let event = |message: &str| {
        let mut events = log.lines().map(|line| serde_json::from_str(line).unwrap());
        events.find(|event: &serde_json::Value| event["message"] == message).unwrap()
    };
    let started = event("server started");
    assert_eq!(started["version"], greet_flags::product::version());
    assert_eq!(started["addresses"], line.strip_prefix("listening on ").unwrap());
    assert_eq!(started["max_streams"], 7);
    assert_eq!(started["request_timeout"], "30s");
    assert_eq!(started.get("max_connection_age"), None);
    assert_eq!(event("server stopped")["answered"], 0);
}

#[test]
fn announcement_and_start_line_have_the_scheme_of_each_listener() {
    let files = IdentityDirectory::new(&Ca::new("Greet Test CA").sign_serial(1));
    let mut command = daemon(&files.server_flags().each_ref().map(String::as_str));
    command.env("GREET_LISTEN", "https://127.0.0.1:0,http://127.0.0.1:0");
    let mut process = Process::start(&mut command);
    let addresses = ["https", "http"].map(|scheme| {
        let line = process.next_line();
        let address = line.strip_prefix("listening on ").expect(&line).to_owned();
        assert!(address.starts_with(&format!("{scheme}://127.0.0.1:")), "{line}");
        address
    });
    let log = process.stop().log;
    let mut lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let started = lines.find(|line: &serde_json::Value| line["message"] == "server started");
    assert_eq!(started.unwrap()["addresses"], addresses.join(","));
}

/// A variable left over from a shell session must not keep the daemon from serving.
#[test]
fn variable_named_after_an_action_has_no_effect() {
    let mut command = daemon(&["--listen=127.0.0.1:0"]);
    command.env("GREET_CHECK", "1").env("GREET_PRINT_CONFIG", "1");
    assert!(start_and_stop(command).0.starts_with("listening on "));
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
fn address_in_use_is_one_line_with_exit_code_1() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (code, stdout, stderr) = run(&mut daemon(&["--listen", &address]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    let expected = format!("greet-server: could not listen on {address}: Address already in use");
    assert!(stderr.starts_with(&expected), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
}

/// The acceptor logs one refusal a second; the drain logs the number of the suppressed ones.
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
