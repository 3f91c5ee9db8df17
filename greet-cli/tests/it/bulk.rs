//! `hello` with many names: replies in order, errors with their line, and nothing lost.

use std::io::{Read as _, Write as _};
use std::iter;
use std::net::TcpStream;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use greet_testkit::http2::{GOAWAY, HEADERS, RST_STREAM};
use greet_testkit::{TEST_TIMEOUT, poll_until};
use serde_json::json;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::support::fake_server::{END, never_reply, record, serve};
use crate::support::{
    CommandOutput, Daemon, command, greet, parse_object, run, spawn, unused_address,
};

/// Returns `greet-cli hello --names-from -`.
fn names_from_stdin(target: &str, flags: &[&str]) -> Command {
    command(&[&["--target", target, "hello", "--names-from=-"], flags].concat())
}

/// Greets the names in `lines` through standard input.
fn greet_lines(target: &str, lines: &[u8], flags: &[&str]) -> CommandOutput {
    spawn(names_from_stdin(target, flags)).finish_with(lines)
}

#[test]
fn lines_are_greeted_in_order() {
    let daemon = Daemon::start(&[]);
    let names: String = (0..5_000).map(|number| format!("{number}\n")).collect();
    let replies: String = (0..5_000).map(|number| format!("Hello {number}\n")).collect();
    for flags in [&["--concurrency=1"][..], &[], &["--connections=4", "--concurrency=300"]] {
        greet_lines(&daemon.target, names.as_bytes(), flags).assert(&replies, "", 0);
    }
}

#[test]
fn names_are_read_from_file_with_unterminated_last_line() {
    let daemon = Daemon::start(&[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "\u{feff}Ada\r\n\nGrace").unwrap();
    let from = format!("--names-from={}", file.path().display());
    greet(&daemon.target, &["hello", &from]).assert("Hello Ada\nHello \nHello Grace\n", "", 0);
    let ran = greet(&daemon.target, &["hello", "--names-from=/no/such"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(2)));
    assert!(ran.stderr.starts_with("greet-cli: could not read `/no/such`: "), "{ran:?}");
    let ran = greet(&daemon.target, &["hello", "--names-from=/"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(2)), "{ran:?}");
    assert!(ran.stderr.starts_with("greet-cli: could not read `/`: "), "{ran:?}");
}

/// A directory can be opened as standard input, and fails when it is read.
#[cfg(target_os = "linux")]
#[test]
fn unreadable_stdin_is_exit_code_2() {
    let daemon = Daemon::start(&[]);
    for (arguments, line) in [
        (&["hello", "--names-from=-"][..], "could not read line 1 of `-`: "),
        (&["load", "--names-from=-", "--count=1"], "could not read `-`: "),
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
    greet_lines(&daemon.target, b"a\n5\nb\n3\n5\nc\n", &[]).assert(
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
    greet_lines(&daemon.target, b"a\n\xff\xfe\nb\n", &[]).assert(
        "Hello a\nHello b\n",
        "greet-cli: line 2: not UTF-8\n",
        2,
    );
}

#[test]
fn fail_fast_starts_no_call_after_failure() {
    let daemon = Daemon::scripted();
    let flags = ["--fail-fast", "--concurrency=1"];
    let ran = greet_lines(&daemon.target, b"a\n5\nb\n", &flags);
    assert_eq!((ran.stdout.as_str(), ran.code), ("Hello a\n", Some(69)), "{ran:?}");
}

#[test]
fn slow_call_does_not_delay_other_lines() {
    let daemon = Daemon::scripted();
    let flags = ["--timeout=1s", "--concurrency=2"];
    let ran = greet_lines(&daemon.target, b"a\nhang\nb\nc\nd\n", &flags);
    assert_eq!(ran.stdout, "Hello a\nHello b\nHello c\nHello d\n");
    assert!(ran.stderr.starts_with("greet-cli: line 2: rpc: DEADLINE_EXCEEDED: "), "{ran:?}");
    assert_eq!(ran.code, Some(68));
}

#[test]
fn line_from_terminal_is_greeted_at_once() {
    let daemon = Daemon::start(&[]);
    let mut running = spawn(names_from_stdin(&daemon.target, &[]));
    for name in ["Ada", "Grace"] {
        running.write(&format!("{name}\n"));
        assert_eq!(running.read_line(), format!("Hello {name}\n"));
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
        let (daemon, names) = Daemon::with_received_names(&[]);
        let mut running = spawn(names_from_stdin(&daemon.target, &["--concurrency=2"]));
        running.write("a\nhang\nb\nc\nhang\n");
        // With two calls at a time, the second "hang" arrives when "b" and "c" have been answered.
        names.iter().filter(|name| name == "hang").nth(1).unwrap();
        running.send_signal(signal);
        let ran = running.finish();
        assert_eq!(ran.stdout, "Hello a\nHello b\nHello c\n");
        assert_eq!(ran.status.signal(), Some(signal.as_raw()));
    }
}

/// Resets of hundreds of calls at once are what a rapid-reset attack looks like (CVE-2023-44487).
#[cfg(unix)]
#[test]
fn interrupt_closes_connections_and_resets_no_call() {
    for arguments in [
        &["hello", "--name=Ada", "--count=1000", "--concurrency=20"][..],
        &["hello", "--names-from=-", "--concurrency=20", "--connections=1"],
        &["load", "--concurrency=20", "--connections=1", "--warm-up=0s"],
    ] {
        let (sender, frames) = mpsc::channel();
        let address = serve(record(sender));
        let mut running = spawn(command(&[&["--target", &address], arguments].concat()));
        if arguments.contains(&"--names-from=-") {
            running.write(&"Ada\n".repeat(20));
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
    let (daemon, names) = Daemon::with_received_names(&flags);
    let admin = daemon.admin.as_deref().unwrap().trim_start_matches("http://");
    // The replies after the first "hang" are printed at the end.
    let names_in_turn = ["hello", "--name=hang", "--name=Ada"];
    let arguments = [&names_in_turn[..], &["--count=1000", "--concurrency=300"]].concat();
    let running = spawn(command(&[&["--target", &daemon.target], &arguments[..]].concat()));
    names.iter().filter(|name| name == "hang").nth(299).unwrap();
    running.send_signal(rustix::process::Signal::INT);
    assert_eq!(running.finish().stdout.lines().count(), 299);
    let metrics = || {
        let mut page = String::new();
        let mut stream = TcpStream::connect(admin).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        stream.read_to_string(&mut page).unwrap();
        page
    };
    let all_cancelled = |page: &String| page.contains("grpc_status=\"CANCELLED\"} 300\n");
    let page = poll_until(TEST_TIMEOUT, || Some(metrics()).filter(all_cancelled)).unwrap();
    for (cause, connections) in [("abandoned_calls", 0), ("peer", 1)] {
        let closed = format!("greet_connections_closed_total{{cause=\"{cause}\"}} {connections}\n");
        assert!(page.contains(&closed), "{page}");
    }
}

#[test]
fn count_repeats_names_and_tallies_servers() {
    let daemon = Daemon::start(&["--instance=blue"]);
    let count = ["hello", "--name=a", "--name=b", "--count=3"];
    let ran = greet(&daemon.target, &count);
    ran.assert(&"Hello a\nHello b\n".repeat(3), "", 0);

    let ran = greet(&daemon.target, &[&["--output=json"], &count[..]].concat());
    let mut objects = ran.objects();
    let mut tally = objects.pop().unwrap();
    assert_eq!(objects.len(), 6);
    tally["total_us"].take();
    assert_eq!(
        tally,
        json!({
            "schema": "greet.tally/v1", "calls": 6, "answered": 6, "failed": 0,
            "answered_by": {"blue": 6}, "connect_failures": [], "total_us": null,
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
    let tally = parse_object(ran.stdout.lines().last().unwrap());
    assert_eq!(tally["answered_by"], json!({"blue": 5, (green.address()): 5}));

    let with_refusing = format!("{},{}", unused_address(), blue.target);
    let ran = greet(&with_refusing, &["--output=json", "hello", "--name=Ada", "--count=10"]);
    let tally = parse_object(ran.stdout.lines().last().unwrap());
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
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains(flag.split('=').next().unwrap()), "{ran:?}");
    }
}

#[test]
fn wait_adds_at_most_its_duration() {
    let flags = ["--wait=300ms", "--timeout=1s", "-q", "hello", "--name=a", "--count=2"];
    let ran = greet(&serve(never_reply), &flags);
    assert_eq!(ran.code, Some(3));
    assert!(ran.elapsed < Duration::from_millis(1_600), "{ran:?}");
}

/// A hint can contain text from the server, so each error may have a different one.
#[test]
fn number_of_hints_is_limited() {
    let daemon = Daemon::with_handler(|request| async move {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation(request.into_inner().name, "no");
        Err(Status::with_error_details(tonic::Code::InvalidArgument, "no", details))
    });
    let names: String = (0..50).map(|number| format!("{number}\n")).collect();
    let ran = greet_lines(&daemon.target, names.as_bytes(), &[]);
    assert_eq!(ran.stderr.matches("INVALID_ARGUMENT").count(), 50);
    assert_eq!(ran.stderr.matches("hint: ").count(), 10, "{ran:?}");
}
