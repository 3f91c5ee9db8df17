//! Markdown tables and the example configuration file, from the definitions in both programs.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use greet_cli::documentation;
use greet_server::CloseReason;
use greet_server::telemetry::metrics::FAMILIES;

/// The heading of the flags that are no keys of the configuration file.
const NO_KEYS: &str = "Configuration";

const EXAMPLE_HEAD: &str = "\
# Configuration of greet-server: every key, its meaning and its default. Written by `cargo xtask docs`.
#
#     greet-server --config greet.toml            # or GREET_CONFIG=greet.toml
#     greet-server --config greet.toml --check
#
# A flag wins over its variable, a variable over this file, the file over the default. Relative paths
# start at the working directory, as on the command line. The file is read once: SIGHUP reloads
# certificates only.
";

/// Returns the definition of greet-server.
pub(super) fn server() -> Command {
    greet_server::flags::Flags::command()
}

/// Returns the definition of greet-cli.
pub(super) fn cli() -> Command {
    greet_cli::command()
}

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
            let Described { meaning, default } = describe(flag)?;
            let row = [code(&synopsis(flag)), variable(flag), default.in_table(), meaning];
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
    let codes = documentation::exit_codes(command);
    ensure!(!codes.is_empty(), "the help of {} has no exit codes", command.get_name());
    for (code, meaning) in codes {
        writeln!(text, "| {code} | {meaning} |")?;
    }
    Ok(text)
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
        let (name, kind, labels) = (family.name(), family.kind_name(), labels.join(", "));
        format!("| `{name}` | {kind} | {labels} | {} |\n", family.help)
    });
    "| metric | kind | labels | meaning |\n|---|---|---|---|\n".to_owned()
        + &rows.collect::<String>()
}

/// Returns a configuration file with every key of greet-server and its default, as comments.
pub(super) fn example(command: &Command) -> anyhow::Result<String> {
    let mut text = EXAMPLE_HEAD.to_owned();
    for heading in headings_of(command).into_iter().flatten().filter(|it| *it != NO_KEYS) {
        writeln!(text, "\n## {heading}")?;
        for flag in flags_under(command, Some(heading)) {
            let name = flag.get_long().context("a key is a long flag")?;
            let placeholder = placeholder(flag);
            let Described { meaning, default } = describe(flag)?;
            let value = match default {
                _ if placeholder.is_empty() => "false".to_owned(),
                DefaultValue::Value(default) if placeholder == "N" => default,
                DefaultValue::Value(default) => format!("{default:?}"),
                DefaultValue::Words(words) => format!("{placeholder:?}  # {words}"),
                DefaultValue::None => format!("{placeholder:?}  # not set"),
            };
            writeln!(text, "\n# {meaning}\n# {name} = {value}")?;
        }
    }
    Ok(text)
}

/// Help of a flag without its default, and the default.
struct Described {
    meaning: String,
    default: DefaultValue,
}

enum DefaultValue {
    /// A value that can be typed.
    Value(String),
    /// A value that depends on the machine or on other flags.
    Words(String),
    None,
}

impl DefaultValue {
    fn in_table(self) -> String {
        match self {
            DefaultValue::Value(value) => code(&value),
            DefaultValue::Words(words) if words.contains(' ') => words,
            DefaultValue::Words(words) => code(&words),
            DefaultValue::None => String::new(),
        }
    }
}

fn describe(flag: &Arg) -> anyhow::Result<Described> {
    let help = flag.get_help().with_context(|| format!("--{} has no help", flag.get_id()))?;
    let help = help.to_string() + &possible_values(flag);
    let in_words = help.strip_suffix(']').and_then(|help| help.rsplit_once("[default: "));
    let has_default = takes_value(flag) && !flag.is_hide_default_value_set();
    let values = flag.get_default_values().iter().filter(|_| has_default);
    let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
    let (meaning, default) = match (in_words, values.join(",")) {
        (Some((meaning, words)), _) => {
            (meaning.trim().to_owned(), DefaultValue::Words(words.to_owned()))
        }
        (None, value) if !value.is_empty() => (help, DefaultValue::Value(value)),
        (None, _) => (help, DefaultValue::None),
    };
    Ok(Described { meaning, default })
}

fn possible_values(flag: &Arg) -> String {
    if !takes_value(flag) || flag.is_hide_possible_values_set() {
        return String::new();
    }
    let values = flag.get_possible_values();
    let names: Vec<_> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
    if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
}

/// The headings in the order of help, `None` for flags without one.
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

/// Whether a reader needs the flag in a table: `--help` and `--version` go without saying.
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

/// `-q, --quiet` or `--target <TARGET>`
fn synopsis(flag: &Arg) -> String {
    let short = flag.get_short().map(|short| format!("-{short}"));
    let long = flag.get_long().map(|long| format!("--{long}"));
    let names: Vec<_> = short.into_iter().chain(long).collect();
    let placeholder = placeholder(flag);
    let value = if placeholder.is_empty() { placeholder } else { format!(" <{placeholder}>") };
    names.join(", ") + &value
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
             | `-q, --quiet` |  |  | Print nothing |\n"
        );
    }

    #[test]
    fn a_missing_heading_and_an_empty_table_are_errors() {
        assert!(flags(&sample(), &["TLS"]).is_err());
        assert!(flags(&Command::new("empty"), &[]).is_err());
        assert!(exit_codes(&sample()).is_err());
    }

    #[test]
    fn a_flag_becomes_a_key_in_a_comment() {
        let text = example(&sample()).unwrap();
        assert_eq!(
            text.strip_prefix(EXAMPLE_HEAD).unwrap(),
            "\n## Connection\n\n# The server: a|b\n# target = \"x:1\"\n\
             \n# Time\n# wait = \"DUR\"  # the rest\n\
             \n## Output\n\n# Print nothing\n# quiet = false\n"
        );
    }
}
