//! The manual page and the completion scripts of a program, generated from the definition of its flags.
//! xtask writes those of greet-server, so that the daemon needs no subcommand for either.

use std::io::{self, Write as _};

use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// Returns the completion script for a shell.
///
/// # Errors
/// The script is not UTF-8.
pub fn completions(command: &Command, shell: Shell) -> anyhow::Result<String> {
    let mut script = Vec::new();
    let with_hint = |flag| with_value_hint(flag, shell);
    let command = command.clone().mut_args(with_hint);
    let mut command = command.mut_subcommands(|subcommand| subcommand.mut_args(with_hint));
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    let script = String::from_utf8(script)?;
    Ok(match shell {
        Shell::Bash => corrected_for_bash(&script, command.get_name()),
        Shell::Fish => corrected_for_fish(script, &command),
        _ => script,
    })
}

/// Offers files only for paths, and in bash no files for host names.
fn with_value_hint(flag: Arg, shell: Shell) -> Arg {
    let hint = match flag.get_value_hint() {
        _ if !flag.get_action().takes_values() => return flag,
        ValueHint::Unknown if flag.get_possible_values().is_empty() => ValueHint::Other,
        ValueHint::Hostname if shell == Shell::Bash => ValueHint::Other,
        ValueHint::AnyPath => ValueHint::FilePath,
        other => other,
    };
    flag.value_hint(hint)
}

fn corrected_for_bash(script: &str, program: &str) -> String {
    // clap escapes the hyphen in two ways, so no flag of a subcommand is found (clap-rs/clap#6421).
    let (misspelt, spelt) = (program.replace('-', "__subcmd__"), program.replace('-', "__"));
    let mut corrected = String::new();
    for line in script.lines() {
        let line = line.replace(&misspelt, &spelt);
        corrected.push_str(&line);
        corrected.push('\n');
        // Flags are offered after a hyphen; without one, only subcommands and arguments, if any.
        let words = line.trim().strip_prefix("opts=\"").and_then(|words| words.strip_suffix('"'));
        let words = words.unwrap_or_default().split(' ').filter(|word| !word.starts_with('-'));
        let words = words.collect::<Vec<_>>().join(" ");
        if !words.is_empty() {
            corrected.push_str(&format!("            [[ ${{cur}} ]] || opts=\"{words}\"\n"));
        }
    }
    corrected
}

fn corrected_for_fish(mut script: String, command: &Command) -> String {
    let name = command.get_name();
    let function = format!("__fish_{}_using_subcommand", name.replace('-', "_"));
    for subcommand in command.get_subcommands() {
        let arguments = subcommand.get_positionals().flat_map(Arg::get_possible_values);
        let values: Vec<_> = arguments.map(|value| value.get_name().to_owned()).collect();
        if !values.is_empty() {
            let (subcommand, values) = (subcommand.get_name(), values.join(" "));
            let condition = format!("{function} {subcommand}");
            script.push_str(&format!("complete -c {name} -n \"{condition}\" -a \"{values}\"\n"));
        }
    }
    script.push_str(&format!("complete -c {name} -f\n")); // no files where a flag does not take one
    // Otherwise a flag that lacks its value hides the values of all flags before the subcommand.
    script.replace("    or return\n", "    or return 0\n")
}

/// Returns the manual page: each subcommand with its flags, then the global flags.
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
        let meaning = format!("See --{}.", flag.get_long()?);
        Some((flag.get_env()?.to_string_lossy().into_owned(), meaning))
    });
    let others = variables.iter().map(|(name, meaning)| (name.to_string(), meaning.to_string()));
    render_list("ENVIRONMENT", flags.chain(others), &mut text)?;
    render_list("EXIT STATUS", exit_codes(command), &mut text)?;
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

fn render_list(
    title: &str,
    items: impl IntoIterator<Item = (String, String)>,
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
    // Without the global flags, which are listed once.
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
