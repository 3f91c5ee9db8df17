//! The same over a Unix socket: a stale file is no obstacle, a live one is not stolen.

use std::fs;

use anyhow::Context as _;

use crate::harness::command::{program, run as run_command};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("greet.sock");
    let target = format!("unix:{}", path.display());
    leave_stale(&path)?;

    let daemon = Daemon::start(programs, &["--listen", &target])?;
    anyhow::ensure!(daemon.target == target, "it announced {}", daemon.target);
    let hello = ["hello", "--name", "Ada"];
    let reply = run_command(&mut programs.greet(&target, &hello))?.succeeded()?;
    anyhow::ensure!(reply == "Hello Ada\n", "the reply was {reply:?}");

    let thief = run_command(program(&programs.server).args(["--listen", &target]))?;
    let thief = thief.ended_with(1)?.stderr;
    anyhow::ensure!(thief.contains("a process is listening there already"), "{thief}");
    run_command(&mut programs.greet(&target, &hello))?.succeeded()?;

    daemon.stop()?;
    anyhow::ensure!(fs::read_dir(&directory)?.next().is_none(), "a file was left behind");
    Ok("a stale file replaced, a live one left alone".to_owned())
}

/// A socket file that nobody listens on, as a killed daemon leaves it.
#[cfg(unix)]
fn leave_stale(path: &std::path::Path) -> anyhow::Result<()> {
    drop(std::os::unix::net::UnixListener::bind(path)?);
    path.exists().then_some(()).context("a socket file outlives its socket")
}

#[cfg(not(unix))]
fn leave_stale(_path: &std::path::Path) -> anyhow::Result<()> {
    let install = "a Unix system".to_owned();
    Err(crate::harness::report::Missing { what: "a Unix socket", install }.into())
}
