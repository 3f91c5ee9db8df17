//! Runs the console blocks of a document: `$` starts a command, `>` continues it, output follows.
//!
//! All blocks of a kind share one shell, so that a daemon started in the first serves the next. The kind is the
//! text behind the fence: [`CONSOLE`], or with a second word for blocks that need other servers beside them.
//! Three things may differ from the document: ports, which are free ones here, durations and dates.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::command::{capture, program};
use super::ports::Ports;
use super::programs::{Programs, root};

/// The kind of most blocks.
pub(crate) const CONSOLE: &str = "console";
/// Separates the outputs of the commands.
const SEPARATOR: &str = "\u{1e}";

#[derive(Debug, PartialEq, Eq)]
struct Command {
    line: String,
    output: String,
}

/// Runs the blocks of `kind` in `directory` and compares their output. Returns the number of commands.
pub(crate) fn check(
    document: &str,
    kind: &str,
    directory: &Path,
    ports: &Ports,
    programs: &Programs,
) -> anyhow::Result<usize> {
    let text = fs::read_to_string(root().join(document))?;
    let commands = commands(&text, kind);
    anyhow::ensure!(!commands.is_empty(), "{document} has no {kind} block");

    let script = directory.join("console.sh");
    write!(fs::File::create(&script)?, "{}", ports.free(&script_of(&commands)))?;
    let path = std::env::join_paths(
        std::iter::once(programs.directory.clone())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let mut shell = program("bash");
    shell.arg(&script).current_dir(directory).env("PATH", path);
    shell.env_remove("https_proxy").env_remove("HTTPS_PROXY"); // diagnose shows them
    shell.env("GREET_LISTEN", ports.free("0.0.0.0:50051"));
    shell.env("GREET_TARGET", ports.free("http://127.0.0.1:50051"));
    let printed = ports.shown(&capture(&mut shell)?.succeeded()?);

    let printed: Vec<_> = printed.split(SEPARATOR).skip(1).collect();
    anyhow::ensure!(printed.len() == commands.len(), "a command has no output: {printed:?}");
    for (Command { line, output }, printed) in commands.iter().zip(&printed) {
        anyhow::ensure!(
            without_times(printed) == without_times(output),
            "`{line}` in {document} should print\n{output}\nbut printed\n{printed}"
        );
    }
    Ok(commands.len())
}

/// Returns the commands of all blocks of `kind`, in order.
fn commands(document: &str, kind: &str) -> Vec<Command> {
    let mut commands = Vec::<Command>::new();
    let mut in_console = false;
    for line in document.lines() {
        if let Some(language) = line.strip_prefix("```") {
            in_console = language == kind;
        } else if let (true, Some(command)) = (in_console, line.strip_prefix("$ ")) {
            commands.push(Command { line: command.to_owned(), output: String::new() });
        } else if let (true, Some(command)) = (in_console, commands.last_mut()) {
            match line.strip_prefix("> ") {
                Some(rest) => command.line.push_str(&format!("\n{rest}")),
                None => command.output.push_str(&format!("{line}\n")),
            }
        }
    }
    commands
}

/// Returns a shell script with both outputs in one. It reads the shown lines of a background
/// command before it continues, and ends that command with the shell.
fn script_of(commands: &[Command]) -> String {
    let mut script = "exec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n".to_owned();
    for (index, Command { line, output }) in commands.iter().enumerate() {
        script.push_str(&format!("printf '{SEPARATOR}'\n"));
        match line.strip_suffix(" &") {
            Some(daemon) => script.push_str(&format!(
                "mkfifo first{index}\n{{ exec {daemon} 2>/dev/null; }} >first{index} &\n\
                 exec {{fd}}<first{index}\n\
                 for _ in $(seq {lines}); do read -r line <&$fd; echo \"$line\"; done\n",
                lines = output.lines().count(),
            )),
            None => script.push_str(&format!("{line}\n")),
        }
    }
    script
}

/// Replaces durations, dates and the widths of columns, which differ from run to run.
fn without_times(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.trim_end().lines() {
        let mut words: Vec<_> = line.split_whitespace().map(without_time).collect();
        if let Some(days) = words.iter().position(|word| word == "days") {
            words[days.saturating_sub(1)] = "TIME".to_owned(); // until a certificate expires
        }
        lines.push(words.join(" "));
    }
    lines.join("\n")
}

/// Replaces `12us`, `"tcp":81,` and `2026-01-01T00:00:00Z`.
fn without_time(word: &str) -> String {
    let is_date =
        word.starts_with(|c: char| c.is_ascii_digit()) && word.trim_end_matches(',').ends_with('Z');
    if is_date || is_duration(word.trim_end_matches([',', ':'])) {
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

fn is_duration(word: &str) -> bool {
    ["us", "ms", "s"].iter().any(|unit| {
        let number = word.strip_suffix(unit);
        number.is_some_and(|number| !number.is_empty() && number.parse::<f64>().is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_block_has_commands_and_their_output() {
        let readme = "text\n```sh\n$ not this\n```\n```console\n$ a \\\n> b\none\n\ntwo\n$ c\n> d\n```\n\
                      ```console envoy\n$ e\nthree\n```\nmore\n";
        let command =
            |line: &str, output: &str| Command { line: line.into(), output: output.into() };
        let plain = [command("a \\\nb", "one\n\ntwo\n"), command("c\nd", "")];
        assert_eq!(commands(readme, CONSOLE), plain);
        assert_eq!(commands(readme, "console envoy"), [command("e", "three\n")]);
    }

    #[test]
    fn durations_and_dates_are_replaced() {
        assert_eq!(without_times(r#"{"dns":12,"tcp":null}"#), r#"{"dns":0,"tcp":null}"#);
        assert_eq!(without_times("tcp  ok   1.2ms  x\n"), "tcp ok TIME x");
        assert_eq!(without_times("until 2026-01-01T00:00:00Z, 89 days"), "until TIME TIME days");
        assert_eq!(without_times("exit code 3"), "exit code 3");
    }
}
