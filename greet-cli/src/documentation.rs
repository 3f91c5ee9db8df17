//! Generates the manual page and the completion scripts of a program from the definition of its flags,
//! and lists the errors of greet-cli.
//!
//! xtask uses it for greet-server too, so that the daemon needs no subcommand for either.

use std::io::{self, Write as _};

use clap::{Arg, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use serde::Serialize;

use crate::error::CallError;

/// Variables that greet-cli reads besides those of its flags.
pub const VARIABLES: [(&str, &str); 1] =
    [("SSLKEYLOGFILE", "File to which the keys of TLS connections are appended, for Wireshark.")];

/// An error of a call. Words in capitals stand for values.
#[derive(Debug, Serialize)]
pub struct ErrorEntry {
    /// The stage that failed: `dns`, `tcp`, `tls`, `http2` or `rpc`.
    pub stage: &'static str,
    /// What happened.
    pub cause: String,
    /// What most likely helps.
    pub hint: String,
    /// The exit code of greet-cli.
    pub exit_code: u8,
}

/// Returns every error of a call, in the order of the stages.
#[must_use]
pub fn errors() -> Vec<ErrorEntry> {
    let entry = |error: CallError| ErrorEntry {
        stage: error.stage().name(),
        cause: error.cause(),
        hint: error.hint(),
        exit_code: error.exit().code(),
    };
    CallError::examples().map(entry).collect()
}

/// Returns the completion script for a shell.
///
/// # Errors
/// The script is not UTF-8.
pub fn completions(command: &Command, shell: Shell) -> anyhow::Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command.clone(), command.get_name(), &mut script);
    // bash gets a hyphen in two spellings, and then finds no flag of a subcommand (clap-rs/clap#6421).
    Ok(String::from_utf8(script)?.replace("greet__subcmd__cli", "greet__cli"))
}

/// Returns the manual page: the subcommands with their own flags, then the flags of all of them.
///
/// # Errors
/// Writing to memory failed.
pub fn man_page(command: &Command, variables: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    let page = Man::new(command.clone());
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    for subcommand in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        render_subcommand(command.get_name(), subcommand, &mut text)?;
    }
    page.render_options_section(&mut text)?;
    let flags = command.get_arguments().filter_map(|flag| {
        Some((flag.get_env()?.to_string_lossy().into_owned(), format!("See {}.", long(flag)?)))
    });
    let others =
        variables.iter().map(|(name, meaning)| ((*name).to_owned(), (*meaning).to_owned()));
    render_list("ENVIRONMENT", flags.chain(others), &mut text)?;
    render_list("EXIT STATUS", exit_codes(command).into_iter(), &mut text)?;
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let notes: Vec<_> = help.split("\n\n").skip(1).map(roman).collect();
    text.write_all(Roff::new().control("PP", []).text(notes).to_roff().as_bytes())?;
    page.render_version_section(&mut text)?;
    Ok(text)
}

/// Returns the exit codes in the help of a program, each with its meaning.
#[must_use]
pub fn exit_codes(command: &Command) -> Vec<(String, String)> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let codes = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (code, meaning) = line.trim().split_once("  ")?;
        Some((code.to_owned(), meaning.trim().to_owned()))
    });
    codes.collect()
}

fn long(flag: &Arg) -> Option<String> {
    Some(format!("--{}", flag.get_long()?))
}

fn render_list(
    title: &str,
    items: impl Iterator<Item = (String, String)>,
    text: &mut Vec<u8>,
) -> io::Result<()> {
    let mut section = Roff::new();
    section.control("SH", [title]);
    for (term, meaning) in items {
        section.control("TP", []).text([bold(term)]).text([roman(meaning)]);
    }
    text.write_all(section.to_roff().as_bytes())
}

fn render_subcommand(program: &str, subcommand: &Command, text: &mut Vec<u8>) -> io::Result<()> {
    let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
    let title = format!("{program} {}", subcommand.get_name()).to_uppercase().replace('-', "\\-");
    writeln!(text, ".SH \"{title}\"\n{about}.")?;
    let mut flags = Vec::new();
    // Its own flags only: the others stand once, at the end.
    Man::new(subcommand.clone().disable_help_flag(true)).render_options_section(&mut flags)?;
    let flags = String::from_utf8_lossy(&flags);
    text.write_all(flags.replace(".SH OPTIONS", ".SS Options").as_bytes())?;
    if let Some(examples) = subcommand.get_before_help() {
        let examples = examples.to_string().replace('\\', "\\e").replace('-', "\\-");
        let (heading, lines) = examples.split_once('\n').unwrap_or(("Examples:", &examples));
        writeln!(text, ".SS {}\n.nf\n{lines}\n.fi", heading.trim_end_matches(':'))?;
    }
    Ok(())
}
