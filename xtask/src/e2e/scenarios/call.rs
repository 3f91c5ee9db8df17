//! Starts the daemon, calls it and stops it: over TCP and over a Unix socket.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::harness::command::{capture, program};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::sample;

pub(crate) fn over_tcp(programs: &Programs) -> anyhow::Result<String> {
    let daemon = Daemon::start(programs, &["--listen", "127.0.0.1:0", "--instance", "e2e"])?;
    let target = daemon.target.clone();
    let call = |text: &str| capture(&mut programs.call(&target, text));
    for text in ["Ada", "", "Zoë", "\u{1f600}"] {
        let reply = call(text)?.succeeded()?;
        anyhow::ensure!(reply == sample::reply(text), "the reply was {reply:?}");
    }

    let mut in_json = programs.call(&target, "Ada");
    let object = capture(in_json.args(["--output", "json"]))?.succeeded()?;
    let object: serde_json::Value = serde_json::from_str(&object)?;
    anyhow::ensure!(object["instance"] == "e2e" && object["ok"] == true, "{object}");

    let refused = call(&"x".repeat(5_000))?.exited_with(67)?.stderr;
    let has_limit = refused.contains("name is 5000 bytes long; the limit is 4096 bytes");
    anyhow::ensure!(has_limit, "{refused}");

    let address = daemon.address().to_owned();
    let ended = daemon.stop_cleanly()?;
    anyhow::ensure!(ended.rest_of_stdout.is_empty(), "standard output has one line: {ended:?}");
    anyhow::ensure!(ended.figure("answered")? == 6, "{ended:?}");

    let started = Instant::now();
    let failed = call("Ada")?.exited_with(3)?.stderr;
    anyhow::ensure!(failed.lines().next().is_some_and(|line| line.contains(&address)), "{failed}");
    anyhow::ensure!(started.elapsed() < Duration::from_secs(1), "the failure took too long");
    Ok("6 calls answered; after the stop exit code 3 within 1 s".to_owned())
}

pub(crate) fn over_unix_socket(programs: &Programs) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("greet.sock");
    let target = format!("unix:{}", path.display());
    leave_stale(&path)?;

    let daemon = Daemon::start(programs, &["--listen", &target])?;
    anyhow::ensure!(daemon.target == target, "it announced {}", daemon.target);
    let call = || capture(&mut programs.call(&target, "Ada"))?.succeeded();
    let reply = call()?;
    anyhow::ensure!(reply == sample::reply("Ada"), "the reply was {reply:?}");

    let second = capture(program(&programs.server).args(["--listen", &target]))?;
    let second = second.exited_with(1)?.stderr;
    anyhow::ensure!(second.contains("a process is listening there already"), "{second}");
    call()?;

    daemon.stop()?;
    anyhow::ensure!(fs::read_dir(&directory)?.next().is_none(), "a file was left behind");
    Ok("a stale socket is replaced, a used one is kept".to_owned())
}

/// Leaves a socket file without a listener, as a killed daemon does.
#[cfg(unix)]
fn leave_stale(path: &Path) -> anyhow::Result<()> {
    drop(std::os::unix::net::UnixListener::bind(path)?);
    path.exists().then_some(()).context("a socket file outlives its socket")
}

#[cfg(not(unix))]
fn leave_stale(_path: &Path) -> anyhow::Result<()> {
    let install = "a Unix system".to_owned();
    Err(crate::harness::report::Missing { what: "a Unix socket", install }.into())
}
