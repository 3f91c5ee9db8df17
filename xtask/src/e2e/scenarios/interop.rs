//! What every other language is asked: that its client is answered by our server, and that its
//! server answers our client, with the same bytes.

use std::process::Command;

use crate::harness::command::run;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;

/// Nothing, ASCII, two bytes a letter, four bytes a letter.
const NAMES: [&str; 4] = ["", "Ada", "Zoë", "\u{1f600}"];

fn replies() -> String {
    NAMES.map(|name| format!("Hello {name}\n")).concat()
}

/// `client HOST:PORT NAME…` prints a reply a line.
pub(crate) fn their_client(programs: &Programs, mut client: Command) -> anyhow::Result<()> {
    let ours = Daemon::start(programs, &["--listen", "127.0.0.1:0"])?;
    client.arg(ours.target.trim_start_matches("http://")).args(NAMES);
    let printed = run(&mut client)?.succeeded()?;
    anyhow::ensure!(printed == replies(), "it printed {printed:?}");
    let ended = ours.stop()?;
    anyhow::ensure!(ended.code == Some(0), "{ended:?}");
    anyhow::ensure!(ended.figure("answered")? == NAMES.len() as u64, "{ended:?}");
    Ok(())
}

pub(crate) fn their_server(programs: &Programs, theirs: &Daemon) -> anyhow::Result<()> {
    let names = NAMES.iter().flat_map(|name| ["--name", name]);
    let arguments: Vec<_> = std::iter::once("hello").chain(names).collect();
    let printed = run(&mut programs.greet(&theirs.target, &arguments))?.succeeded()?;
    anyhow::ensure!(printed == replies(), "we printed {printed:?}");
    Ok(())
}
