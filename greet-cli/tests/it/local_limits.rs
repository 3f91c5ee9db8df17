//! Limits of this machine are named, and not blamed on the server or the network.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::error_snapshot::assert_error;
use crate::support::sample::{CALL, LINE};
use crate::support::{CommandOutput, Daemon, cli, command, run};

/// Runs `greet-cli --target TARGET` with a limit of open files.
fn run_with_open_files(limit: u32, target: &str, flags: &[&str]) -> CommandOutput {
    let plain = command(&[&["--target", target], CALL, flags].concat());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {limit} && exec \"$@\""), "sh"]).env_clear();
    command.arg(plain.get_program()).args(plain.get_args());
    run(command)
}

/// Which limit lets greet-cli start, and no more, differs between systems.
#[test]
fn limit_of_open_files_is_named_at_every_stage() {
    let daemon = Daemon::start(&[]);
    let named = daemon.target.replace("127.0.0.1", "localhost");
    let mut stages = Vec::new();
    for limit in 4..=20 {
        for target in [&daemon.target, &named] {
            let ran = run_with_open_files(limit, target, &["--output=json"]);
            if ran.code == Some(0) {
                continue;
            }
            let is_named = |text: &str| text.to_lowercase().contains("open files");
            assert!(is_named(&ran.stdout) || is_named(&ran.stderr), "{ran:?}");
            if ran.code == Some(3) {
                let error = ran.object()["error"].take();
                let cause = error["cause"].as_str().unwrap();
                let problem = format!("this process has reached its limit of open files, {limit}");
                assert!(cause.ends_with(&problem), "{error}");
                assert!(error["hint"].as_str().unwrap().contains("ulimit -n"), "{error}");
                stages.push(error["stage"].clone());
            }
        }
    }
    assert!(stages.contains(&Value::from("tcp")), "{stages:?}");
}

#[test]
fn many_connections_reach_limit_of_open_files() {
    let daemon = Daemon::start(&[]);
    let flags = ["--connections=50", "--concurrency=50", "--count=50"];
    let limit = "this process has reached its limit of open files, 20\n";
    let ran = run_with_open_files(20, &daemon.target, &flags);
    assert!(ran.stderr.contains(limit), "{ran:?}");
}

/// Returns `unix:PATH` with a path of this length.
fn socket_target(directory: &Path, path_bytes: usize) -> String {
    let directory = directory.display().to_string();
    let name = "s".repeat(path_bytes - directory.len() - 1);
    format!("unix:{directory}/{name}")
}

#[test]
fn path_of_unix_socket_over_limit_is_named() {
    const LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
    let directory = tempfile::tempdir().unwrap();
    let longest = socket_target(directory.path(), LIMIT);
    let _daemon = Daemon::start(&["--listen", &longest]);
    cli(&longest, CALL).assert(LINE, "", 0);
    let ran = cli(&socket_target(directory.path(), LIMIT + 1), CALL);
    let line = format!("the path of the socket has {} bytes; the limit is {LIMIT}\n", LIMIT + 1);
    assert!(ran.stderr.contains(&line), "{ran:?}");
    assert_eq!(ran.code, Some(3));
}

#[cfg(target_os = "linux")]
#[test]
fn full_queue_of_unix_socket_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.sock");
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let _queued = UnixStream::connect(&path).unwrap();
    let target = format!("unix:{}", path.display());
    assert_error("tcp_socket_queue_full", &target, &[]);
}

/// root has permission for every socket, unless it is without capabilities in a user namespace.
#[test]
fn missing_permission_for_unix_socket_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let target = format!("unix:{}", path.display());
    let plain = command(&[&["--target", &target], CALL].concat());
    let mut without_capabilities = Command::new("unshare");
    without_capabilities.arg("--user").arg(plain.get_program()).args(plain.get_args());
    let is_root = rustix::process::geteuid().is_root();
    let ran = run(if is_root { without_capabilities } else { plain });
    if ran.stderr.starts_with("unshare: ") {
        return; // user namespaces are not permitted
    }
    let line = format!("greet-cli: tcp: could not connect to {target}: permission denied\n\n");
    assert!(ran.stderr.starts_with(&line), "{ran:?}");
    assert_eq!(ran.code, Some(3));
}

#[test]
fn file_that_is_not_a_socket_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_error("tcp_not_a_socket", &format!("unix:{}", file.path().display()), &[]);
}
