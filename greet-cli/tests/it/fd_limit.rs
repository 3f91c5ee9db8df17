//! The limit of open files does not limit `--connections` below the hard limit.

#![cfg(target_os = "linux")]

use std::process::Command;

use crate::support::sample::{CALL, LINE};
use crate::support::{CommandOutput, Daemon, run};

/// Runs greet-cli after `ulimit FLAGS`.
fn with_limit(ulimit: &str, target: &str, arguments: &[&str]) -> CommandOutput {
    let mut shell = Command::new("sh");
    let script = format!("ulimit {ulimit}; exec \"$0\" \"$@\"");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_greet-cli"), "--target", target]);
    shell.args(arguments).env_clear();
    run(shell)
}

const LOAD: [&str; 5] = ["-q", "load", "--threads=1", "--connections=60", "--count=60"];

#[test]
fn soft_limit_is_raised_to_hard_limit() {
    let daemon = Daemon::start(&[]);
    let ran = with_limit("-S -n 30", &daemon.target, &LOAD);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.starts_with("calls    60 ok, 0 failed "), "{ran:?}");
    let ran = with_limit(
        "-S -n 30",
        &daemon.target,
        &[CALL, &["--count=60", "--connections=60"]].concat(),
    );
    ran.assert(&LINE.repeat(60), "", 0);
}
