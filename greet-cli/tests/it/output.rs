//! Standard output is data, standard error is prose, and both may go away.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use greet_proto::{Greeter, HelloReply, HelloRequest};
use tonic::{Request, Response, Status};

use crate::support::{Daemon, command, greet, nobody, run};

const HELLO: [&str; 2] = ["hello", "--name=Ada"];

#[test]
fn closed_stdout_is_not_a_failure() {
    let daemon = Daemon::start(&[]);
    for output in ["text", "json"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(&["--target", &daemon.target, "--output", output, "hello"]);
        command.args(["--name=Ada", "--name=Bob"]).stdout(writer).stderr(Stdio::piped());
        run_with_stdout_elsewhere(command, "", 0);
    }
}

/// Nobody reads the answer; the exit code still tells it.
#[test]
fn closed_stdout_keeps_exit_code_of_failure() {
    for (arguments, code) in
        [(["--output=json", "hello", "--name=Ada"], 3), (["--output=json", "health", "-q"], 3)]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(&["--target", &nobody()]);
        command.args(arguments).stdout(writer);
        assert_eq!(command.status().unwrap().code(), Some(code));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_exit_code_1() {
    let daemon = Daemon::start(&[]);
    let one = ["hello", "--name=Ada", "--count=1"];
    let many = ["hello", "--name=Ada", "--count=50000"];
    for arguments in [&one[..], &many, &["health"], &["diagnose"], &["man"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = command(&[&["--target", &daemon.target], arguments].concat());
        command.stdout(full).stderr(Stdio::piped());
        let problem = "No space left on device (os error 28)";
        let line = format!("greet-cli: could not write to standard output: {problem}\n");
        run_with_stdout_elsewhere(command, &line, 1);
    }
}

#[test]
fn closed_stdout_ends_many_calls() {
    let daemon = Daemon::start(&[]);
    let mut command = command(&["--target", &daemon.target, "hello", "--name=Ada"]);
    command.arg("--count=1000000000").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((line.as_str(), output.status.code()), ("Hello Ada\n", Some(0)));
    assert_eq!(output.stderr, b"");
}

#[track_caller]
fn run_with_stdout_elsewhere(mut command: std::process::Command, stderr: &str, code: i32) {
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), stderr);
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn quiet_writes_nothing_to_stderr() {
    let address = nobody();
    greet(&address, &[&["-q"], &HELLO[..]].concat()).left("", "", 3);
    greet(&address, &[&["--quiet", "--wait=1ms"], &HELLO[..]].concat()).left("", "", 3);
}

#[test]
fn verbose_reports_stages_on_stderr_only() {
    let daemon = Daemon::start(&["--instance=blue"]);
    let ran = greet(&daemon.target, &["--verbose", "hello", "--name=a", "--name=b"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("Hello a\nHello b\n", Some(0)));
    let words: Vec<_> = ran.stderr.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    let first = ["dns", "tcp", "http2", "rpc", "greet-instance:"];
    let second = ["rpc", "greet-instance:", "calls"];
    assert_eq!(words, [&first[..], &second].concat(), "{}", ran.stderr);
    assert!(ran.stderr.contains(daemon.address()));
}

#[test]
fn closed_stderr_is_not_a_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(&["--target", &nobody(), "hello", "--name=Ada"]);
    assert_eq!(command.stderr(writer).status().unwrap().code(), Some(3));
}

#[test]
fn reply_is_escaped_to_one_line() {
    let daemon = Daemon::start(&[]);
    let names = ["hello", "--name=two\nlines", "--name=\u{1b}]0;title\u{7}", "--name=\u{202e}adA"];
    let shown = "Hello two\\nlines\nHello \\u{1b}]0;title\\u{7}\nHello \\u{202e}adA\n";
    greet(&daemon.target, &names).left(shown, "", 0);
    let json = greet(&daemon.target, &["--output=json", "hello", "--name=two\nlines"]);
    assert_eq!(json.object()["message"], "Hello two\nlines", "an object is exact");
}

/// Fails with a message that clears the screen and reverses the text after it.
#[derive(Clone)]
struct Hostile;

#[tonic::async_trait]
impl Greeter for Hostile {
    async fn say_hello(
        &self,
        _request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        Err(Status::not_found("\u{1b}[2J\u{2066}"))
    }
}

#[test]
fn failure_message_from_server_is_escaped() {
    let daemon = Daemon::with_greeter(&[], Hostile);
    let shown = "rpc: NOT_FOUND: \\u{1b}[2J\\u{2066}";
    for flags in [&["--name=a"][..], &["--name=a", "--name=b"]] {
        let ran = greet(&daemon.target, &[&["hello"], flags].concat());
        assert_eq!(ran.stderr.matches(shown).count(), flags.len(), "{ran:?}");
        assert!(!ran.stderr.contains(['\u{1b}', '\u{2066}']), "{ran:?}");
    }
}

/// CLICOLOR_FORCE stands for a terminal.
#[test]
fn color_follows_flag_then_variables() {
    let nobody = nobody();
    let colored = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = command(&[&["--target", &nobody], arguments].concat());
        command.envs(variables.iter().copied());
        let ran = run(command);
        (ran.stdout.contains('\u{1b}'), ran.stderr.contains('\u{1b}'))
    };
    let terminal = ("CLICOLOR_FORCE", "1");
    let no_color = ("NO_COLOR", "1");
    assert_eq!(colored(&[], &HELLO), (false, false));
    assert_eq!(colored(&[terminal], &HELLO), (false, true));
    assert_eq!(colored(&[terminal, no_color], &HELLO), (false, false));
    assert_eq!(colored(&[terminal], &["--color=never", "health"]), (false, false));
    assert_eq!(colored(&[no_color], &["--color", "always", "health"]), (false, true));
    assert_eq!(colored(&[no_color, ("GREET_COLOR", "always")], &["health"]), (false, true));
    assert_eq!(colored(&[], &["--color=always", "diagnose"]), (true, false));
    assert_eq!(colored(&[terminal, no_color], &["diagnose"]), (false, false));
    assert_eq!(colored(&[], &["--color=always", "diagnose", "--output=json"]), (false, false));
    assert_eq!(colored(&[], &["--color=always", "hello"]), (false, true), "usage error");
    assert_eq!(colored(&[], &["hello", "--color=always", "--help"]), (true, false));
}
