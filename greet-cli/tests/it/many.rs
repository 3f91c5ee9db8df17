//! Many calls: replies in the order of the names, failures with their line, and nothing lost.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use greet_proto::{Greeter, HelloReply, HelloRequest};
use serde_json::json;
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::support::{
    Daemon, Ran, Scripted, command, greet, listen_forever, nobody, object, serve,
};

fn from_standard_input(target: &str, flags: &[&str]) -> Command {
    let mut command = command(&[&["--target", target, "hello", "--names-from=-"], flags].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `greet-cli hello --names-from -` with these bytes on standard input.
fn greet_lines(target: &str, lines: &[u8], flags: &[&str]) -> Ran {
    let mut child = from_standard_input(target, flags).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = lines.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&lines));
    let output = child.wait_with_output().unwrap();
    let _ = writing.join().unwrap();
    Ran {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

#[test]
fn lines_are_greeted_in_order() {
    let daemon = Daemon::start(&[]);
    let names: String = (0..5_000).map(|number| format!("{number}\n")).collect();
    let replies: String = (0..5_000).map(|number| format!("Hello {number}\n")).collect();
    for flags in [&["--concurrency=1"][..], &[], &["--connections=4", "--concurrency=300"]] {
        greet_lines(&daemon.target, names.as_bytes(), flags).left(&replies, "", 0);
    }
}

#[test]
fn names_are_read_from_file_with_unterminated_last_line() {
    let daemon = Daemon::start(&[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "\u{feff}Ada\r\n\nGrace").unwrap();
    let from = format!("--names-from={}", file.path().display());
    greet(&daemon.target, &["hello", &from]).left("Hello Ada\nHello \nHello Grace\n", "", 0);
    let ran = greet(&daemon.target, &["hello", "--names-from=/no/such"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(2)));
    assert!(ran.stderr.starts_with("greet-cli: could not read `/no/such`: "), "{ran:?}");
    let ran = greet(&daemon.target, &["hello", "--names-from=/"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(2)), "{ran:?}");
    assert!(ran.stderr.starts_with("greet-cli: could not read `/`: "), "{ran:?}");
}

#[test]
fn failures_name_their_line_and_do_not_stop_others() {
    let daemon = Daemon::with_greeter(&[], Scripted);
    greet_lines(&daemon.target, b"a\n5\nb\n3\n5\nc\n", &[]).left(
        "Hello a\nHello b\nHello c\n",
        "greet-cli: line 2: rpc: NOT_FOUND: as asked\n\
         greet-cli: line 4: rpc: INVALID_ARGUMENT: as asked\n\
         greet-cli: line 5: rpc: NOT_FOUND: as asked\n\
         hint: the server does not know this name: check its spelling and case\n\
         hint: the server rejected the request: see the message\n",
        69,
    );
}

#[test]
fn line_that_is_not_utf8_is_named_and_skipped() {
    let daemon = Daemon::start(&[]);
    greet_lines(&daemon.target, b"a\n\xff\xfe\nb\n", &[]).left(
        "Hello a\nHello b\n",
        "greet-cli: line 2: not UTF-8\n",
        2,
    );
}

#[test]
fn fail_fast_starts_no_call_after_failure() {
    let daemon = Daemon::with_greeter(&[], Scripted);
    let flags = ["--fail-fast", "--concurrency=1"];
    let ran = greet_lines(&daemon.target, b"a\n5\nb\n", &flags);
    assert_eq!((ran.stdout.as_str(), ran.code), ("Hello a\n", Some(69)), "{ran:?}");
}

#[test]
fn slow_call_does_not_delay_other_lines() {
    let daemon = Daemon::with_greeter(&[], Scripted);
    let mut child =
        from_standard_input(&daemon.target, &["--timeout=1s", "--concurrency=2"]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a\nhang\nb\nc\nd\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.stdout, b"Hello a\nHello b\nHello c\nHello d\n");
    assert!(stderr.starts_with("greet-cli: line 2: rpc: DEADLINE_EXCEEDED: "), "{stderr}");
    assert_eq!(output.status.code(), Some(68));
}

#[test]
fn line_from_terminal_is_greeted_at_once() {
    let daemon = Daemon::start(&[]);
    let (mut child, mut stdout) = conversation(&daemon);
    let mut stdin = child.stdin.take().unwrap();
    for name in ["Ada", "Grace"] {
        writeln!(stdin, "{name}").unwrap();
        let mut reply = String::new();
        stdout.read_line(&mut reply).unwrap();
        assert_eq!(reply, format!("Hello {name}\n"));
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn conversation(daemon: &Daemon) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = from_standard_input(&daemon.target, &[]).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

/// A script's shell ends with the user's Ctrl-C only if the command died of the signal; `timeout` and CI send
/// SIGTERM.
#[cfg(unix)]
#[test]
fn replies_before_signal_are_printed() {
    assert_replies_printed_before_death_by(rustix::process::Signal::INT);
    assert_replies_printed_before_death_by(rustix::process::Signal::TERM);
}

#[cfg(unix)]
fn assert_replies_printed_before_death_by(signal: rustix::process::Signal) {
    use std::os::unix::process::ExitStatusExt as _;

    let (calls, called) = std::sync::mpsc::channel();
    let daemon = Daemon::with_greeter(&[], Telling(calls));
    // Two at a time: once the second "hang" has arrived, what is between the two is answered.
    let mut child = from_standard_input(&daemon.target, &["--concurrency=2"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\nhang\nb\nc\nhang\n").unwrap();
    called.iter().filter(|name| name == "hang").nth(1).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, signal).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"Hello a\nHello b\nHello c\n");
    assert_eq!(output.status.signal(), Some(signal.as_raw()));
}

/// Answers, hangs on "hang", and tells of each call that has arrived.
#[derive(Clone)]
struct Telling(std::sync::mpsc::Sender<String>);

#[tonic::async_trait]
impl Greeter for Telling {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let name = request.get_ref().name.clone();
        self.0.send(name).unwrap();
        Scripted.say_hello(request).await
    }
}

#[test]
fn count_repeats_names_and_tallies_servers() {
    let daemon = Daemon::start(&["--instance=blue"]);
    let count = ["hello", "--name=a", "--name=b", "--count=3"];
    let ran = greet(&daemon.target, &count);
    ran.left(&"Hello a\nHello b\n".repeat(3), "", 0);

    let ran = greet(&daemon.target, &[&["--output=json"], &count[..]].concat());
    let mut objects = ran.objects();
    let mut tally = objects.pop().unwrap();
    assert_eq!(objects.len(), 6);
    tally["total_us"].take();
    assert_eq!(
        tally,
        json!({
            "schema": "greet.tally/v1", "calls": 6, "answered": 6, "failed": 0,
            "answered_by": {"blue": 6}, "total_us": null,
        })
    );
    let ran = greet(&daemon.target, &[&["-v"], &count[..]].concat());
    assert!(ran.stderr.contains("6 calls in "), "{ran:?}");
    assert!(ran.stderr.ends_with("       6  blue\n"), "{ran:?}");
}

#[test]
fn targets_take_turns_and_are_tallied() {
    let (blue, green) = (Daemon::start(&["--instance=blue"]), Daemon::start(&[]));
    let both = format!("{},{}", blue.target, green.target);
    let ran = greet(&both, &["--output=json", "hello", "--name=Ada", "--count=10"]);
    let tally = object(ran.stdout.lines().last().unwrap());
    assert_eq!(tally["answered_by"], json!({"blue": 5, (green.address()): 5}));

    let with_a_dead_one = format!("{},{}", nobody(), blue.target);
    let ran = greet(&with_a_dead_one, &["--output=json", "hello", "--name=Ada", "--count=10"]);
    let tally = object(ran.stdout.lines().last().unwrap());
    assert_eq!((&tally["failed"], &tally["answered_by"]), (&json!(0), &json!({"blue": 10})));
}

#[test]
fn calls_are_spread_over_connections() {
    let daemon = Daemon::start(&[]);
    let flags = ["--output=json", "hello", "--name=Ada", "--count=9", "--connections=3"];
    let objects = greet(&daemon.target, &flags).objects();
    let made = objects.iter().filter(|object| object["timing_us"]["tcp"].is_u64()).count();
    assert_eq!(made, 3);
}

#[test]
fn name_conflicts_with_names_from() {
    let ran = greet("x:1", &["hello", "--name=a", "--names-from=-"]);
    assert_eq!(ran.code, Some(2));
    let ran = greet("x:1", &["hello", "--names-from=-", "--count=2"]);
    assert_eq!(ran.code, Some(2));
    for flag in ["--concurrency=0", "--concurrency=10001", "--connections=0", "--count=0"] {
        let ran = greet("x:1", &["hello", "--name=a", flag]);
        assert_eq!(
            (ran.code, ran.stderr.contains(flag.split('=').next().unwrap())),
            (Some(2), true)
        );
    }
}

#[test]
fn wait_adds_at_most_its_duration() {
    let silent = serve(listen_forever);
    let begun = std::time::Instant::now();
    let flags = ["--wait=300ms", "--timeout=1s", "-q", "hello", "--name=a", "--count=2"];
    assert_eq!(greet(&silent, &flags).code, Some(3));
    assert!(begun.elapsed() < std::time::Duration::from_millis(1_600), "{:?}", begun.elapsed());
}

/// A server chooses what it calls a field; it does not choose how much is printed.
#[test]
fn number_of_hints_is_limited() {
    let daemon = Daemon::with_greeter(&[], Particular);
    let names: String = (0..50).map(|number| format!("{number}\n")).collect();
    let ran = greet_lines(&daemon.target, names.as_bytes(), &[]);
    assert_eq!(ran.stderr.matches("INVALID_ARGUMENT").count(), 50);
    assert_eq!(ran.stderr.matches("hint: ").count(), 10, "{ran:?}");
}

/// Dislikes a field of another name each time.
#[derive(Clone)]
struct Particular;

#[tonic::async_trait]
impl Greeter for Particular {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation(request.get_ref().name.as_str(), "no");
        Err(Status::with_error_details(tonic::Code::InvalidArgument, "no", details))
    }
}
