//! The README's console blocks, run as they stand: `$` is a command, what follows is what it prints.
//!
//! All blocks share one shell, so that a daemon started in the first serves the next. Two things are
//! not compared to the letter: the port, which is a free one here, and how long a stage took.

use std::fs;
use std::io::Write as _;

use anyhow::Context as _;

use crate::command::{program, run as run_command};
use crate::project::{Programs, root};

/// The port that the README shows.
const SHOWN_PORT: &str = "50051";
/// Printed between the commands; nothing else prints it.
const MARK: &str = "\u{1e}";

#[derive(Debug, PartialEq, Eq)]
struct Command {
    line: String,
    prints: String,
}

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let readme = fs::read_to_string(root().join("README.md"))?;
    let commands = commands(&readme);
    anyhow::ensure!(!commands.is_empty(), "the README has no console block");

    let port = free_port()?;
    let directory = tempfile::tempdir()?;
    let script = directory.path().join("readme.sh");
    write!(fs::File::create(&script)?, "{}", script_of(&commands))?;
    let path = std::env::join_paths(
        std::iter::once(programs.directory.clone())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let mut shell = program("bash");
    shell.arg(&script).current_dir(&directory).env("PATH", path);
    shell.env("GREET_LISTEN", format!("0.0.0.0:{port}"));
    shell.env("GREET_TARGET", format!("http://127.0.0.1:{port}"));
    let printed = run_command(&mut shell)?.succeeded()?;

    let printed = printed.replace(&port.to_string(), SHOWN_PORT);
    let printed: Vec<_> = printed.split(MARK).skip(1).collect();
    anyhow::ensure!(printed.len() == commands.len(), "a command did not come back: {printed:?}");
    for (Command { line, prints }, printed) in commands.iter().zip(&printed) {
        let (expected, printed) = (without_times(prints), without_times(printed));
        anyhow::ensure!(
            printed.trim_end() == expected.trim_end(),
            "`{line}` in the README prints\n{expected}\nbut it printed\n{printed}"
        );
    }
    Ok(format!("{} commands", commands.len()))
}

/// The commands of all ```` ```console ```` blocks, in order.
fn commands(readme: &str) -> Vec<Command> {
    let mut commands = Vec::<Command>::new();
    let mut in_console = false;
    for line in readme.lines() {
        if let Some(language) = line.strip_prefix("```") {
            in_console = language == "console";
        } else if let (true, Some(command)) = (in_console, line.strip_prefix("$ ")) {
            commands.push(Command { line: command.to_owned(), prints: String::new() });
        } else if let (true, Some(command)) = (in_console, commands.last_mut()) {
            command.prints.push_str(line);
            command.prints.push('\n');
        }
    }
    commands
}

/// Both outputs in one, as a terminal shows them. What runs in the background is waited for until it
/// has said its first line, and ended with the shell.
fn script_of(commands: &[Command]) -> String {
    let mut script = "exec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n".to_owned();
    for Command { line, .. } in commands {
        script.push_str(&format!("printf '{MARK}'\n"));
        match line.strip_suffix(" &") {
            Some(daemon) => script.push_str(&format!(
                "coproc {{ exec {daemon} 2>/dev/null; }}\nread -r first <&${{COPROC[0]}}; echo \"$first\"\n"
            )),
            None => script.push_str(&format!("{line}\n")),
        }
    }
    script
}

/// A number after a stage's name in JSON is a time, and another one each time.
fn without_times(text: &str) -> String {
    let stages = ["dns", "tcp", "http2", "rpc", "total"];
    stages.iter().fold(text.to_owned(), |text, stage| {
        let key = format!("\"{stage}\":");
        let mut parts = text.split(&key);
        let before = parts.next().unwrap_or_default().to_owned();
        parts.fold(before, |before, after| {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            let number = if rest.len() < after.len() { "0" } else { "" };
            before + &key + number + rest
        })
    })
}

fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_block_is_commands_and_what_they_print() {
        let readme =
            "text\n```sh\n$ not this\n```\n```console\n$ a b\none\n\ntwo\n$ c\n```\nmore\n";
        let command =
            |line: &str, prints: &str| Command { line: line.into(), prints: prints.into() };
        assert_eq!(commands(readme), [command("a b", "one\n\ntwo\n"), command("c", "")]);
    }

    #[test]
    fn times_do_not_matter() {
        assert_eq!(without_times(r#"{"dns":12,"tcp":null}"#), r#"{"dns":0,"tcp":null}"#);
    }
}
