//! Many calls of a command: replies in order, errors with their line, and nothing lost.

use std::iter;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use greet_testkit::http2::{GOAWAY, HEADERS, RST_STREAM};
use greet_testkit::{TEST_TIMEOUT, poll_until};
use serde_json::json;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::support::fake_server::{END, never_reply, record, serve};
use crate::support::sample::{CALL, CALL_LINES, LINES, calls, input, lines};
use crate::support::{
    CommandOutput, Daemon, cli, command, metrics, parse_object, run, spawn, unused_address,
};

/// Returns a command with a call for each line of standard input.
fn from_stdin(target: &str, flags: &[&str]) -> Command {
    command(&[&["--target", target], CALL_LINES, flags].concat())
}

/// Sends the texts as lines through standard input.
fn call_lines(target: &str, texts: &[&str], flags: &[&str]) -> CommandOutput {
    spawn(from_stdin(target, flags)).finish_with(input(texts).as_bytes())
}

#[test]
fn lines_are_answered_in_order() {
    let daemon = Daemon::start(&[]);
    let texts: Vec<_> = (0..5_000).map(|number| number.to_string()).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    for flags in [&["--concurrency=1"][..], &[], &["--connections=4", "--concurrency=300"]] {
        call_lines(&daemon.target, &texts, flags).assert(&lines(&texts), "", 0);
    }
}

/// A directory can be opened as standard input, and fails when it is read.
#[cfg(target_os = "linux")]
#[test]
fn unreadable_stdin_is_exit_code_2() {
    let daemon = Daemon::start(&[]);
    for (arguments, line) in [
        (CALL_LINES, "could not read line 1 of `-`: "),
        (&["load", LINES, "--count=1"], "could not read `-`: "),
    ] {
        let mut command = command(&[&["--target", &daemon.target], arguments].concat());
        command.stdin(std::fs::File::open("/").unwrap());
        let line = format!("greet-cli: {line}Is a directory (os error 21)\n");
        run(command).assert("", &line, 2);
    }
}

#[test]
fn failures_name_their_line_and_do_not_stop_others() {
    let daemon = Daemon::scripted();
    call_lines(&daemon.target, &["a", "5", "b", "3", "5", "c"], &[]).assert(
        &lines(&["a", "b", "c"]),
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
    let bytes = [input(&["a"]).as_bytes(), b"\xff\xfe\n", input(&["b"]).as_bytes()].concat();
    spawn(from_stdin(&daemon.target, &[])).finish_with(&bytes).assert(
        &lines(&["a", "b"]),
        "greet-cli: line 2: not UTF-8\n",
        2,
    );
}

#[test]
fn fail_fast_starts_no_call_after_failure() {
    let daemon = Daemon::scripted();
    let flags = ["--fail-fast", "--concurrency=1"];
    let ran = call_lines(&daemon.target, &["a", "5", "b"], &flags);
    assert_eq!((ran.stdout.as_str(), ran.code), (lines(&["a"]).as_str(), Some(69)), "{ran:?}");
}

#[test]
fn slow_call_does_not_delay_other_lines() {
    let daemon = Daemon::scripted();
    let flags = ["--timeout=2s", "--concurrency=2"];
    let ran = call_lines(&daemon.target, &["a", "hang", "b", "c", "d"], &flags);
    assert_eq!(ran.stdout, lines(&["a", "b", "c", "d"]));
    assert!(ran.stderr.starts_with("greet-cli: line 2: rpc: DEADLINE_EXCEEDED: "), "{ran:?}");
    assert_eq!(ran.code, Some(68));
}

#[test]
fn line_from_terminal_is_answered_at_once() {
    let daemon = Daemon::start(&[]);
    let mut running = spawn(from_stdin(&daemon.target, &[]));
    for text in ["Ada", "Grace"] {
        running.write(&input(&[text]));
        assert_eq!(running.read_line(), lines(&[text]));
    }
    running.finish().assert("", "", 0);
}

/// After Ctrl-C, a shell stops its script only if the command died of the signal. `timeout` and CI
/// send SIGTERM.
#[cfg(unix)]
#[test]
fn replies_before_signal_are_printed() {
    use std::os::unix::process::ExitStatusExt as _;

    use rustix::process::Signal;

    for signal in [Signal::INT, Signal::TERM] {
        let (daemon, texts) = Daemon::with_received_texts(&[]);
        let mut running = spawn(from_stdin(&daemon.target, &["--concurrency=2"]));
        running.write(&input(&["a", "hang", "b", "c", "hang"]));
        // With two calls at a time, the second "hang" arrives when "b" and "c" have been answered.
        texts.iter().filter(|text| text == "hang").nth(1).unwrap();
        running.send_signal(signal);
        let ran = running.finish();
        assert_eq!(ran.stdout, lines(&["a", "b", "c"]));
        assert_eq!(ran.status.signal(), Some(signal.as_raw()));
    }
}

/// Resets of hundreds of calls at once are what a rapid-reset attack looks like (CVE-2023-44487).
#[cfg(unix)]
#[test]
fn interrupt_closes_connections_and_resets_no_call() {
    for arguments in [
        &[CALL, &["--count=1000", "--concurrency=20"]].concat()[..],
        &[CALL_LINES, &["--concurrency=20", "--connections=1"]].concat(),
        &["load", "--concurrency=20", "--connections=1", "--warm-up=0s"],
    ] {
        let (sender, frames) = mpsc::channel();
        let address = serve(record(sender));
        let mut running = spawn(command(&[&["--target", &address], arguments].concat()));
        if arguments.contains(&LINES) {
            running.write(&input(&["Ada"; 20]));
        }
        frames.iter().filter(|frame| frame.kind == HEADERS).nth(19).unwrap();
        running.send_signal(rustix::process::Signal::INT);
        let ran = running.finish();
        assert!(ran.elapsed < Duration::from_secs(4), "not at --timeout: {ran:?}");
        let mut next = || frames.recv_timeout(Duration::from_secs(5)).expect("no GOAWAY");
        let rest: Vec<_> = iter::repeat_with(&mut next).take_while(|it| it.kind != END).collect();
        assert!(rest.iter().all(|frame| frame.kind != RST_STREAM), "{arguments:?}");
        let last = rest.last().map(|frame| (frame.kind, frame.payload.as_slice()));
        assert_eq!(last, Some((GOAWAY, &[0; 8][..])), "{arguments:?}");
    }
}

/// More resets than the limit of the daemon, 200, would close the connection as `abandoned_calls`.
#[cfg(unix)]
#[test]
fn interrupted_calls_are_cancelled_without_abuse() {
    let flags = ["--max-streams=300", "--admin-listen=127.0.0.1:0"];
    let (daemon, texts) = Daemon::with_received_texts(&flags);
    let admin = daemon.admin.as_deref().unwrap().trim_start_matches("http://");
    // The replies after the first "hang" are printed at the end.
    let mut command = command(&["--target", &daemon.target]);
    command.args(calls(&[], &["hang", "Ada"])).args(["--count=1000", "--concurrency=300"]);
    let running = spawn(command);
    texts.iter().filter(|text| text == "hang").nth(299).unwrap();
    running.send_signal(rustix::process::Signal::INT);
    assert_eq!(running.finish().stdout.lines().count(), 299);
    let all_cancelled = |page: &String| page.contains("grpc_status=\"CANCELLED\"} 300\n");
    let page = poll_until(TEST_TIMEOUT, || Some(metrics(admin)).filter(all_cancelled)).unwrap();
    for (cause, connections) in [("abandoned_calls", 0), ("peer", 1)] {
        let closed = format!("greet_connections_closed_total{{cause=\"{cause}\"}} {connections}\n");
        assert!(page.contains(&closed), "{page}");
    }
}

#[test]
fn count_repeats_calls_and_tallies_servers() {
    let daemon = Daemon::start(&["--instance=blue"]);
    let count = |flag| [calls(&[flag], &["a", "b"]), vec!["--count=3".to_owned()]].concat();
    let ran = cli(&daemon.target, &count("--output=text"));
    ran.assert(&lines(&["a", "b"]).repeat(3), "", 0);

    let ran = cli(&daemon.target, &count("--output=json"));
    let mut objects = ran.objects();
    let mut tally = objects.pop().unwrap();
    assert_eq!(objects.len(), 6);
    tally["total_us"].take();
    assert_eq!(
        tally,
        json!({
            "schema": "greet.tally/v1", "calls": 6, "answered": 6, "failed": 0, "retries": 0,
            "answered_by": {"blue": 6}, "connect_failures": [], "total_us": null,
        })
    );
    let ran = cli(&daemon.target, &count("-v"));
    assert!(ran.stderr.contains("6 calls in "), "{ran:?}");
    assert!(ran.stderr.contains("/s): 6 answered, 0 failed\n"), "{ran:?}");
    assert!(ran.stderr.ends_with("       6  blue\n"), "{ran:?}");
}

#[test]
fn targets_take_turns_and_are_tallied() {
    let (blue, green) = (Daemon::start(&["--instance=blue"]), Daemon::start(&[]));
    let both = format!("{},{}", blue.target, green.target);
    let ran = cli(&both, &[&["--output=json"][..], CALL, &["--count=10"]].concat());
    let tally = parse_object(ran.stdout.lines().last().unwrap());
    assert_eq!(tally["answered_by"], json!({"blue": 5, (green.address()): 5}));

    let with_refusing = format!("{},{}", unused_address(), blue.target);
    let ran = cli(&with_refusing, &[&["--output=json"][..], CALL, &["--count=10"]].concat());
    let tally = parse_object(ran.stdout.lines().last().unwrap());
    assert_eq!((&tally["failed"], &tally["answered_by"]), (&json!(0), &json!({"blue": 10})));
}

#[test]
fn calls_are_spread_over_connections() {
    let daemon = Daemon::start(&[]);
    let flags = [&["--output=json"][..], CALL, &["--count=9", "--connections=3"]].concat();
    let objects = cli(&daemon.target, &flags).objects();
    let made = objects.iter().filter(|object| object["timing_us"]["tcp"].is_u64()).count();
    assert_eq!(made, 3);
}

#[test]
fn number_over_limit_is_usage_error() {
    let ran = cli("x:1", &[CALL_LINES, &["--count=2"]].concat());
    assert_eq!(ran.code, Some(2));
    for flag in ["--concurrency=0", "--concurrency=10001", "--connections=0", "--count=0"] {
        let ran = cli("x:1", &[CALL, &[flag]].concat());
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains(flag.split('=').next().unwrap()), "{ran:?}");
    }
}

#[test]
fn wait_adds_at_most_its_duration() {
    let flags = ["--wait=1s", "--timeout=2s", "-q"];
    let ran = cli(&serve(never_reply), &[&flags[..], CALL, &["--count=2"]].concat());
    assert_eq!(ran.code, Some(3));
    assert!(ran.elapsed < Duration::from_secs(4), "{ran:?}");
}

/// A hint can contain text from the server, so each error may have a different one.
#[test]
fn number_of_hints_is_limited() {
    let daemon = Daemon::with_handler(|request| async move {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation(request.into_inner().name, "no");
        Err(Status::with_error_details(tonic::Code::InvalidArgument, "no", details))
    });
    let texts: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let ran = call_lines(&daemon.target, &texts, &[]);
    assert_eq!(ran.stderr.matches("INVALID_ARGUMENT").count(), 50);
    assert_eq!(ran.stderr.matches("hint: ").count(), 10, "{ran:?}");
}
