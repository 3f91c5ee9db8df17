//! Runs the console blocks of a document as they stand: `$` is a command, what follows is what it
//! prints.
//!
//! All blocks share one shell, so that a daemon started in the first serves the next. Not compared to
//! the letter: ports, which are free ones here, how long something took, and dates.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::harness::command::{program, run as run_command};
use crate::harness::ports::Ports;
use crate::harness::programs::{Programs, root};

/// Printed between the commands; nothing else prints it.
const MARK: &str = "\u{1e}";

#[derive(Debug, PartialEq, Eq)]
struct Command {
    line: String,
    prints: String,
}

/// Runs `document` in `directory`, and compares. Returns how many commands there are.
pub(crate) fn check(
    document: &str,
    directory: &Path,
    ports: &Ports,
    programs: &Programs,
) -> anyhow::Result<usize> {
    let text = fs::read_to_string(root().join(document))?;
    let commands = commands(&text);
    anyhow::ensure!(!commands.is_empty(), "{document} has no console block");

    let script = directory.join("console.sh");
    write!(fs::File::create(&script)?, "{}", ports.free(&script_of(&commands)))?;
    let path = std::env::join_paths(
        std::iter::once(programs.directory.clone())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let mut shell = program("bash");
    shell.arg(&script).current_dir(directory).env("PATH", path);
    shell.env("GREET_LISTEN", ports.free("0.0.0.0:50051"));
    shell.env("GREET_TARGET", ports.free("http://127.0.0.1:50051"));
    let printed = ports.shown(&run_command(&mut shell)?.succeeded()?);

    let printed: Vec<_> = printed.split(MARK).skip(1).collect();
    anyhow::ensure!(printed.len() == commands.len(), "a command did not come back: {printed:?}");
    for (Command { line, prints }, printed) in commands.iter().zip(&printed) {
        anyhow::ensure!(
            without_times(printed) == without_times(prints),
            "`{line}` in {document} prints\n{prints}\nbut it printed\n{printed}"
        );
    }
    Ok(commands.len())
}

/// The commands of all ```` ```console ```` blocks, in order.
fn commands(document: &str) -> Vec<Command> {
    let mut commands = Vec::<Command>::new();
    let mut in_console = false;
    for line in document.lines() {
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
/// has said the lines that are shown, and ended with the shell.
fn script_of(commands: &[Command]) -> String {
    let mut script = "exec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n".to_owned();
    for (index, Command { line, prints }) in commands.iter().enumerate() {
        script.push_str(&format!("printf '{MARK}'\n"));
        match line.strip_suffix(" &") {
            Some(daemon) => script.push_str(&format!(
                "mkfifo first{index}\n{{ exec {daemon} 2>/dev/null; }} >first{index} &\n\
                 exec {{fd}}<first{index}\n\
                 for _ in $(seq {lines}); do read -r line <&$fd; echo \"$line\"; done\n",
                lines = prints.lines().count(),
            )),
            None => script.push_str(&format!("{line}\n")),
        }
    }
    script
}

/// Times, dates and widths of columns differ from run to run.
fn without_times(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.trim_end().lines() {
        let words: Vec<_> = line.split_whitespace().map(without_time).collect();
        lines.push(words.join(" "));
    }
    lines.join("\n")
}

/// `12us`, `"tcp":81,`, `2026-01-01T00:00:00Z`, `89` of days.
fn without_time(word: &str) -> String {
    let is_date =
        word.starts_with(|c: char| c.is_ascii_digit()) && word.trim_end_matches(',').ends_with('Z');
    if is_date || is_a_time(word.trim_end_matches([',', ':'])) {
        return "TIME".to_owned();
    }
    let stages = ["dns", "tcp", "tls", "http2", "rpc", "total"];
    stages.iter().fold(word.to_owned(), |text, stage| {
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

fn is_a_time(word: &str) -> bool {
    ["us", "ms", "s", ""].iter().any(|unit| {
        let number = word.strip_suffix(unit);
        number.is_some_and(|number| !number.is_empty() && number.parse::<f64>().is_ok())
    })
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
        assert_eq!(without_times("tcp  ok   1.2ms  x\n"), "tcp ok TIME x");
        assert_eq!(without_times("until 2026-01-01T00:00:00Z, 89 days"), "until TIME TIME days");
    }
}
