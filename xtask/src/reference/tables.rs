//! Markdown tables and the example configuration file, from the definitions in both programs.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use clap::{Arg, ArgAction, Command};
use greet_cli::documentation::{self, ErrorEntry};
use greet_flags::reference;
use greet_server::CloseReason;
use greet_server::telemetry::metrics::FAMILIES;

/// Returns a table of the flags under `headings`, or of all flags with a subheading for each group.
pub(super) fn flags(command: &Command, headings: &[&str]) -> anyhow::Result<String> {
    let all = headings_of(command);
    let mut text = String::new();
    for heading in headings {
        ensure!(all.contains(&Some(heading)), "there is no heading {heading:?}");
    }
    for heading in all {
        if !headings.is_empty() && !heading.is_some_and(|heading| headings.contains(&heading)) {
            continue;
        }
        if let (Some(heading), true) = (heading, headings.is_empty()) {
            writeln!(text, "### {heading}\n")?;
        }
        if text.is_empty() || headings.is_empty() {
            text.push_str("| flag | variable | default | meaning |\n|---|---|---|---|\n");
        }
        for flag in flags_under(command, heading) {
            let (meaning, default) = describe(flag)?;
            let row = [code(&synopsis(flag)), variable(flag), default, meaning];
            writeln!(text, "| {} |", row.map(|cell| cell.replace('|', "\\|")).join(" | "))?;
        }
        if headings.is_empty() {
            text.push('\n');
        }
    }
    ensure!(!text.is_empty(), "{} has no flags", command.get_name());
    Ok(text.trim_end().to_owned() + "\n")
}

/// Returns the exit codes in the help of a program.
pub(super) fn exit_codes(command: &Command) -> anyhow::Result<String> {
    let mut text = "| code | meaning |\n|---|---|\n".to_owned();
    let codes = reference::exit_codes(command);
    ensure!(!codes.is_empty(), "the help of {} has no exit codes", command.get_name());
    for (code, meaning) in codes {
        writeln!(text, "| {code} | {meaning} |")?;
    }
    Ok(text)
}

/// Returns every error of greet-cli.
pub(super) fn errors() -> String {
    let rows = documentation::errors().into_iter().map(|error| {
        let ErrorEntry { stage, cause, hint, exit_code } = error;
        format!("| {stage} | `{cause}` | {hint} | {exit_code} |\n")
    });
    "| stage | error | hint | exit code |\n|---|---|---|---|\n".to_owned()
        + &rows.collect::<String>()
}

/// Returns the reasons for which greet-server closes a connection.
pub(super) fn close_reasons() -> String {
    let rows = CloseReason::ALL.iter().map(|reason| {
        let (name, meaning, peer_sees) = (reason.name(), reason.meaning(), reason.peer_sees());
        format!("| `{name}` | {meaning} | {peer_sees} |\n")
    });
    "| cause | what happened | what the peer sees |\n|---|---|---|\n".to_owned()
        + &rows.collect::<String>()
}

/// Returns every metric of greet-server.
pub(super) fn metrics() -> String {
    let rows = FAMILIES.iter().map(|family| {
        let labels: Vec<_> = family.labels.iter().map(|label| code(label)).collect();
        let (name, kind, labels) = (family.name(), family.kind.as_str(), labels.join(", "));
        format!("| `{name}` | {kind} | {labels} | {} |\n", family.help)
    });
    "| metric | kind | labels | meaning |\n|---|---|---|---|\n".to_owned()
        + &rows.collect::<String>()
}

/// Returns the help of a flag without its default, and the default as a cell of the table. A
/// default that depends on the machine or on other flags is in the help.
fn describe(flag: &Arg) -> anyhow::Result<(String, String)> {
    let help = flag.get_help().with_context(|| format!("--{} has no help", flag.get_id()))?;
    let help = help.to_string();
    if let Some((meaning, words)) =
        help.strip_suffix(']').and_then(|help| help.rsplit_once("[default: "))
    {
        let words = if words.contains(' ') { words.to_owned() } else { code(words) };
        return Ok((meaning.trim().to_owned(), words));
    }
    let values: Vec<_> =
        flag.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let has_default = takes_value(flag) && !flag.is_hide_default_value_set();
    let default = if has_default { code(&values.join(",")) } else { String::new() };
    Ok((help + &possible_values(flag), default))
}

fn possible_values(flag: &Arg) -> String {
    let is_listed = takes_value(flag) && !flag.is_hide_possible_values_set();
    let values = if is_listed { flag.get_possible_values() } else { Vec::new() };
    let values: Vec<_> = values.iter().map(|value| code(value.get_name())).collect();
    if values.is_empty() { String::new() } else { format!("; one of {}", values.join(", ")) }
}

/// Returns the headings in the order of help, `None` for flags without one.
fn headings_of(command: &Command) -> Vec<Option<&str>> {
    let mut headings = Vec::new();
    for flag in command.get_arguments().filter(|flag| is_listed(flag)) {
        if !headings.contains(&flag.get_help_heading()) {
            headings.push(flag.get_help_heading());
        }
    }
    headings
}

fn flags_under<'a>(
    command: &'a Command,
    heading: Option<&'a str>,
) -> impl Iterator<Item = &'a Arg> + 'a {
    let flags = command.get_arguments().filter(|flag| is_listed(flag));
    flags.filter(move |flag| flag.get_help_heading() == heading)
}

/// Returns whether the flag belongs in a table: `--help` and `--version` do not.
fn is_listed(flag: &Arg) -> bool {
    let is_builtin = matches!(
        flag.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    !is_builtin && !flag.is_hide_set()
}

fn takes_value(flag: &Arg) -> bool {
    flag.get_action().takes_values()
}

/// Returns `-q, --quiet`, `--target <TARGET>` or `<METHOD>`.
fn synopsis(flag: &Arg) -> String {
    let short = flag.get_short().map(|short| format!("-{short}"));
    let long = flag.get_long().map(|long| format!("--{long}"));
    let names: Vec<_> = short.into_iter().chain(long).collect();
    let placeholder = placeholder(flag);
    let value = if placeholder.is_empty() { placeholder } else { format!(" <{placeholder}>") };
    (names.join(", ") + &value).trim_start().to_owned()
}

fn placeholder(flag: &Arg) -> String {
    let names = flag.get_value_names().unwrap_or_default().iter().map(clap::builder::Str::as_str);
    if takes_value(flag) { names.collect::<Vec<_>>().join(" ") } else { String::new() }
}

fn variable(flag: &Arg) -> String {
    flag.get_env().map(|variable| code(&variable.to_string_lossy())).unwrap_or_default()
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Command {
        let target = Arg::new("target").long("target").value_name("TARGET").help("The server: a|b");
        let wait = Arg::new("wait").long("wait").value_name("DUR").help("Time [default: the rest]");
        let quiet = Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue);
        Command::new("sample").next_help_heading("Connection").args([
            target.env("SAMPLE_TARGET").default_value("x:1"),
            wait,
            Arg::new("method").value_name("METHOD").help("Method"),
            quiet.help("Print nothing").help_heading("Output"),
        ])
    }

    #[test]
    fn a_flag_becomes_a_row() {
        assert_eq!(
            flags(&sample(), &["Connection", "Output"]).unwrap(),
            "| flag | variable | default | meaning |\n|---|---|---|---|\n\
             | `--target <TARGET>` | `SAMPLE_TARGET` | `x:1` | The server: a\\|b |\n\
             | `--wait <DUR>` |  | the rest | Time |\n\
             | `<METHOD>` |  |  | Method |\n\
             | `-q, --quiet` |  |  | Print nothing |\n"
        );
    }

    #[test]
    fn a_missing_heading_and_an_empty_table_are_errors() {
        assert!(flags(&sample(), &["TLS"]).is_err());
        assert!(flags(&Command::new("empty"), &[]).is_err());
        assert!(exit_codes(&sample()).is_err());
    }
}
