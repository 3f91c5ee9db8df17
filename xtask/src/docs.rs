//! `cargo xtask docs`: tables that mirror the programs are made from what the programs say.
//!
//! A document marks the place with `<!-- generated: NAME -->` and `<!-- end -->`; what stands
//! between them is replaced. [`EXAMPLE`] is made as a whole.

use std::fs;

use anyhow::{Context as _, bail};

use crate::command::{program, run as run_command, step};
use crate::example::{self, EXAMPLE};
use crate::project::{self, Programs, cargo, root};

/// Write, or only look
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail if a document is not up to date, and write nothing
    #[arg(long)]
    check: bool,
}

const DOCUMENTS: [&str; 5] =
    ["README.md", "docs/errors.md", "docs/limits.md", "docs/metrics.md", EXAMPLE];

const BEGIN: &str = "<!-- generated: ";
const BEGIN_END: &str = " -->\n";
const END: &str = "<!-- end -->";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.check {
        return check();
    }
    let programs = project::build(false)?;
    for document in DOCUMENTS {
        let (old, new) = renewed(document, &programs)?;
        if old != new {
            fs::write(root().join(document), new)?;
            step(format_args!("{document}: written"));
        }
    }
    Ok(())
}

/// Fails if a document is not what [`run`] would write.
pub(crate) fn check() -> anyhow::Result<()> {
    let programs = project::build(false)?;
    for document in DOCUMENTS {
        let (old, new) = renewed(document, &programs)?;
        if let Some((was, is)) = old.lines().zip(new.lines()).find(|(was, is)| was != is) {
            bail!("{document} is out of date; run: cargo xtask docs\n- {was}\n+ {is}");
        }
        anyhow::ensure!(old == new, "{document} is out of date; run: cargo xtask docs");
    }
    Ok(())
}

fn renewed(document: &str, programs: &Programs) -> anyhow::Result<(String, String)> {
    let path = root().join(document);
    if document == EXAMPLE {
        let new = example::file(&help(program(&programs.server).arg("-h"))?);
        return Ok((fs::read_to_string(path).unwrap_or_default(), new));
    }
    let old = fs::read_to_string(path).with_context(|| format!("could not read {document}"))?;
    let mut new = String::new();
    let mut rest = old.as_str();
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(BEGIN_END).context("a mark without its end")?;
        let (_, after) = after.split_once(END).with_context(|| format!("{name} has no end"))?;
        let generated = generate(name, programs)?;
        new.push_str(&format!("{before}{BEGIN}{name}{BEGIN_END}\n{generated}\n{END}"));
        rest = after;
    }
    new.push_str(rest);
    Ok((old, new))
}

fn generate(name: &str, programs: &Programs) -> anyhow::Result<String> {
    let server = || help(program(&programs.server).arg("-h"));
    let cli = |verb: &[&str]| help(program(&programs.cli).args(verb).arg("-h"));
    Ok(match name {
        "flags of greet-server" => flags(&all_flags(&server()?)),
        "limits of greet-server" => {
            let help = server()?;
            let headings = ["Limits:", "Leaving:"].map(|heading| section(&help, heading));
            flags(&headings.concat())
        }
        "close causes" => example("close_causes")?,
        "metrics" => example("metrics")?,
        "exit codes of greet-server" => exit_codes(&server()?),
        "flags of greet-cli" => {
            let help = cli(&[])?;
            let headings = ["Connection:", "TLS, for https:// targets:", "Output:"];
            flags(&headings.map(|heading| section(&help, heading)).concat())
        }
        "flags of greet-cli hello" => flags(&section(&cli(&["hello"])?, "Options:")),
        "flags of greet-cli health" => flags(&section(&cli(&["health"])?, "Options:")),
        "flags of greet-cli diagnose" => flags(&section(&cli(&["diagnose"])?, "Options:")),
        "flags of greet-cli load" => flags(&section(&cli(&["load"])?, "Options:")),
        "failures of greet-cli" => help(program(&programs.cli).arg("errors"))?,
        "exit codes of greet-cli" => exit_codes(&cli(&[])?),
        _ => bail!("nobody knows how to generate {name:?}"),
    })
}

/// What an example of greet-server prints of what the library holds.
fn example(name: &str) -> anyhow::Result<String> {
    help(cargo().args(["run", "--quiet", "-p", "greet-server", "--example", name]))
}

fn help(command: &mut std::process::Command) -> anyhow::Result<String> {
    run_command(command)?.succeeded()
}

/// The lines below a heading, up to the next empty one.
fn section(help: &str, heading: &str) -> Vec<String> {
    let below = help.lines().skip_while(|line| *line != heading).skip(1);
    below.take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The flags of all headings.
fn all_flags(help: &str) -> Vec<String> {
    help.lines().filter(|line| line.trim_start().starts_with('-')).map(str::to_owned).collect()
}

/// A line of `-h` is: flag, two spaces or more, meaning, and in brackets variable and default.
fn flags(lines: &[String]) -> String {
    let mut table = "| flag | variable | default | meaning |\n|---|---|---|---|\n".to_owned();
    for line in lines {
        let Some((flag, meaning)) = line.trim().split_once("  ") else {
            continue;
        };
        if flag.contains("--help") || flag.contains("--version") {
            continue;
        }
        let (meaning, variable) = take_bracket(meaning.trim(), "env: ");
        let (meaning, default) = take_bracket(&meaning, "default: ");
        let code = |text: String| if text.is_empty() { text } else { format!("`{text}`") };
        // A default in words is no value to type.
        let default = if default.contains(' ') { default } else { code(default) };
        let row = [code(flag.to_owned()), code(variable), default, meaning];
        table.push_str(&format!("| {} |\n", row.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
    table
}

/// Cuts `[PREFIX…]` out of `text` and returns both.
fn take_bracket(text: &str, prefix: &str) -> (String, String) {
    let opening = format!("[{prefix}");
    let Some((before, after)) = text.split_once(&opening) else {
        return (text.to_owned(), String::new());
    };
    let (content, after) = after.split_once(']').unwrap_or((after, ""));
    (format!("{} {}", before.trim(), after.trim()).trim().to_owned(), content.to_owned())
}

/// The lines below `Exit codes:`, each a code and its meaning.
fn exit_codes(help: &str) -> String {
    let mut table = "| code | meaning |\n|---|---|\n".to_owned();
    for line in section(help, "Exit codes:") {
        if let Some((code, meaning)) = line.trim().split_once("  ") {
            table.push_str(&format!("| {} | {} |\n", code, meaning.trim()));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_help_becomes_a_row() {
        let lines = [
            "      --target <TARGET>  The server: a|b [env: GREET_TARGET] [default: http://x:1]"
                .into(),
            "  -q, --quiet            Say nothing [env: GREET_QUIET]".into(),
            "      --wait <DUR>       Time [default: what is left] [env: GREET_WAIT]".into(),
            "  -h, --help             Print help".into(),
        ];
        assert_eq!(
            flags(&lines),
            "| flag | variable | default | meaning |\n|---|---|---|---|\n\
             | `--target <TARGET>` | `GREET_TARGET` | `http://x:1` | The server: a\\|b |\n\
             | `-q, --quiet` | `GREET_QUIET` |  | Say nothing |\n\
             | `--wait <DUR>` | `GREET_WAIT` | what is left | Time |\n"
        );
    }

    #[test]
    fn exit_codes_end_at_the_empty_line() {
        let help = "Usage\n\nExit codes:\n  0       done\n  64 + n  status n\n\nMore";
        assert_eq!(
            exit_codes(help),
            "| code | meaning |\n|---|---|\n| 0 | done |\n| 64 + n | status n |\n"
        );
    }
}
