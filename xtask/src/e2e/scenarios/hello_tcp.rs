//! The daemon is started, greets, is stopped; and the client says so in time.

use std::time::{Duration, Instant};

use crate::harness::command::run as run_command;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let daemon = Daemon::start(programs, &["--listen", "127.0.0.1:0", "--instance", "e2e"])?;
    let target = daemon.target.clone();
    for name in ["Ada", "", "Zoë", "\u{1f600}"] {
        let hello = ["hello", "--name", name];
        let reply = run_command(&mut programs.greet(&target, &hello))?.succeeded()?;
        anyhow::ensure!(reply == format!("Hello {name}\n"), "the reply was {reply:?}");
    }

    let json = ["--output", "json", "hello", "--name", "Ada"];
    let object = run_command(&mut programs.greet(&target, &json))?.succeeded()?;
    let object: serde_json::Value = serde_json::from_str(&object)?;
    anyhow::ensure!(object["instance"] == "e2e" && object["ok"] == true, "{object}");

    let long = "x".repeat(5_000);
    let refused = run_command(&mut programs.greet(&target, &["hello", "--name", &long]))?;
    let refused = refused.ended_with(67)?.stderr;
    let says = refused.contains("name is 5000 bytes long; the limit is 4096 bytes");
    anyhow::ensure!(says, "{refused}");

    let ended = daemon.stop()?;
    anyhow::ensure!(ended.code == Some(0), "{ended:?}");
    anyhow::ensure!(ended.rest_of_stdout.is_empty(), "standard output has one line: {ended:?}");
    anyhow::ensure!(ended.figure("answered")? == 6, "{ended:?}");

    let begun = Instant::now();
    let gone = run_command(&mut programs.greet(&target, &["hello", "--name", "Ada"]))?;
    let gone = gone.ended_with(3)?.stderr;
    let address = target.trim_start_matches("http://");
    anyhow::ensure!(gone.lines().next().is_some_and(|line| line.contains(address)), "{gone}");
    anyhow::ensure!(Instant::now() - begun < Duration::from_secs(1), "it took too long to say so");
    Ok("6 calls answered; stopped: exit 3 in time".to_owned())
}
