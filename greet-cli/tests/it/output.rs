//! Standard output is data and standard error is prose; a reader may close either.

use tonic::{Response, Status};

use crate::support::sample::{CALL, LINE, calls, lines};
use crate::support::service::{PATH, Reply};
use crate::support::{Daemon, cli, closed_pipe, command, run, spawn, unused_address};

#[test]
fn closed_stdout_is_not_a_failure() {
    let daemon = Daemon::start(&[]);
    for output in ["text", "json"] {
        let mut command = command(&["--target", &daemon.target, "--output", output]);
        command.args(calls(&[], &["Ada", "Bob"])).stdout(closed_pipe());
        run(command).assert("", "", 0);
    }
}

#[test]
fn closed_stdout_keeps_exit_code_of_failure() {
    for arguments in [CALL, &["health", "-q"]] {
        let mut command = command(&["--target", &unused_address(), "--output=json"]);
        command.args(arguments).stdout(closed_pipe());
        assert_eq!(run(command).code, Some(3));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_exit_code_1() {
    let daemon = Daemon::start(&[]);
    let one = [CALL, &["--count=1"]].concat();
    let many = [CALL, &["--count=50000"]].concat();
    for arguments in [&one[..], &many, &["health"], &["diagnose"], &["man"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = command(&[&["--target", &daemon.target], arguments].concat());
        command.stdout(full);
        let problem = "No space left on device (os error 28)";
        let line = format!("greet-cli: could not write to standard output: {problem}\n");
        run(command).assert("", &line, 1);
    }
}

#[test]
fn closed_stdout_ends_many_calls() {
    let daemon = Daemon::start(&[]);
    let count = "--count=1000000000";
    let mut running = spawn(command(&[&["--target", &daemon.target][..], CALL, &[count]].concat()));
    assert_eq!(running.read_line(), LINE);
    running.close_stdout().assert("", "", 0);
}

#[test]
fn quiet_writes_nothing_to_stderr() {
    let address = unused_address();
    cli(&address, &[&["-q"], CALL].concat()).assert("", "", 3);
    cli(&address, &[&["--quiet", "--wait=1ms"], CALL].concat()).assert("", "", 3);
}

#[test]
fn verbose_reports_stages_and_headers_on_stderr_only() {
    let daemon = Daemon::start(&["--instance=blue"]);
    let flags = ["--verbose", "--timeout=900ms", "-H", "x-a: b"];
    let ran = cli(&daemon.target, &calls(&flags, &["a", "b"]));
    assert_eq!((ran.stdout.as_str(), ran.code), (lines(&["a", "b"]).as_str(), Some(0)));
    let words: Vec<_> = ran.stderr.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    let request = [
        ":method:",
        ":scheme:",
        ":authority:",
        ":path:",
        "x-a:",
        "content-type:",
        "te:",
        "user-agent:",
        "grpc-timeout:",
    ];
    let connection = ["dns", "tcp", "http2"];
    let reply = ["rpc", "greet-instance:"];
    let calls = [&connection[..], &request, &reply, &request, &reply, &["calls"]].concat();
    assert_eq!(words, calls, "{}", ran.stderr);
    for line in [
        format!("> :authority: {}\n", daemon.address()),
        format!("> :path: {PATH}\n"),
        "> x-a: b\n> content-type: application/grpc\n> te: trailers\n".to_owned(),
    ] {
        assert!(ran.stderr.contains(&line), "{line}: {}", ran.stderr);
    }
    let timeout = ran.stderr.split("> grpc-timeout: ").nth(1).unwrap().lines().next().unwrap();
    let micros: u64 = timeout.strip_suffix('u').unwrap().parse().unwrap();
    assert!((1..=900_001).contains(&micros), "{timeout}");
}

#[test]
fn verbose_redacts_credentials() {
    let daemon = Daemon::with_handler(|request| async move {
        let mut reply = Response::new(Reply::default());
        let cookie = request.metadata().get("authorization").unwrap().clone();
        reply.metadata_mut().insert("set-cookie", cookie);
        Ok(reply)
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "s3cret in a file").unwrap();
    let from_file = format!("x-plain: @{}", file.path().display());
    let headers = [
        "authorization: Bearer s3cret",
        "cookie: s3cret=1",
        "x-api-key: s3cret",
        "x-data-bin: czNjcmV0",
        &from_file,
    ];
    let headers = headers.map(|header| ["-H", header]).concat();
    let ran = cli(&daemon.target, &[&["-v"], &headers[..], CALL].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains("s3cret") && !ran.stderr.contains("czNjcmV0"), "{ran:?}");
    for line in [
        "> authorization: (redacted, 13 bytes)\n",
        "> cookie: (redacted, 8 bytes)\n",
        "> x-api-key: (redacted, 6 bytes)\n",
        "> x-data-bin: (redacted, 8 bytes)\n",
        "> x-plain: (redacted, 16 bytes)\n",
        "< set-cookie: (redacted, 13 bytes)\n",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran:?}");
    }
}

#[test]
fn closed_stderr_is_not_a_failure() {
    let mut command = command(&[&["--target", &unused_address()][..], CALL].concat());
    command.stderr(closed_pipe());
    assert_eq!(run(command).code, Some(3));
}

#[test]
fn failure_message_from_server_is_escaped() {
    // The message would clear the screen and reverse the text after it.
    let daemon = Daemon::with_handler(|_| async { Err(Status::not_found("\u{1b}[2J\u{2066}")) });
    let shown = "rpc: NOT_FOUND: \\u{1b}[2J\\u{2066}";
    for texts in [&["a"][..], &["a", "b"]] {
        let ran = cli(&daemon.target, &calls(&[], texts));
        assert_eq!(ran.stderr.matches(shown).count(), texts.len(), "{ran:?}");
        assert!(!ran.stderr.contains(['\u{1b}', '\u{2066}']), "{ran:?}");
    }
}

/// CLICOLOR_FORCE stands for a terminal.
#[test]
fn color_follows_flag_then_variables() {
    let address = unused_address();
    let colored = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = command(&[&["--target", &address], arguments].concat());
        command.envs(variables.iter().copied());
        let ran = run(command);
        (ran.stdout.contains('\u{1b}'), ran.stderr.contains('\u{1b}'))
    };
    let terminal = ("CLICOLOR_FORCE", "1");
    let no_color = ("NO_COLOR", "1");
    assert_eq!(colored(&[], CALL), (false, false));
    assert_eq!(colored(&[terminal], CALL), (false, true));
    assert_eq!(colored(&[terminal, no_color], CALL), (false, false));
    assert_eq!(colored(&[terminal], &["--color=never", "health"]), (false, false));
    assert_eq!(colored(&[no_color], &["--color", "always", "health"]), (false, true));
    assert_eq!(colored(&[no_color, ("GREET_COLOR", "always")], &["health"]), (false, true));
    assert_eq!(colored(&[], &["--color=always", "diagnose"]), (true, false));
    assert_eq!(colored(&[terminal, no_color], &["diagnose"]), (false, false));
    assert_eq!(colored(&[], &["--color=always", "diagnose", "--output=json"]), (false, false));
    assert_eq!(colored(&[], &["--color=always", CALL[0]]), (false, true), "usage error");
    assert_eq!(colored(&[], &[CALL[0], "--color=always", "--help"]), (true, false));
}
