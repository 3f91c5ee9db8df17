//! Parses the command line and the variables of its flags, and turns each error into one line:
//! `PLACE: REASON`, with a suggestion.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{
    ArgMatches, ColorChoice, Command, CommandFactory as _, FromArgMatches as _, ValueEnum as _,
};
use greet_flags::usage;
use greet_flags::variables::{UnknownVariable, ignore_empty_variable, unknown_variables, variable};

use super::Args;
use crate::connect::Target;
use crate::method::unary_methods;

/// The only required argument that clap lists no values for.
const METHOD: &str = "<METHOD>";

/// The reason to end without running a subcommand.
#[derive(Debug)]
pub(crate) enum UsageError {
    /// The help text or the version, on request or because the command is missing.
    Help(clap::Error),
    /// The flag or the variable, and the reason.
    Invalid(String),
}

/// A valid command line.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) args: Args,
    /// Found here, because building the definition of the flags takes as long as parsing.
    pub(crate) unknown_variables: Vec<UnknownVariable>,
}

/// Parses a command line that starts with the name of the program, and the variables of its flags.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Parsed, UsageError> {
    set_color(early_color(arguments));
    let command = Args::command();
    let unknown_variables = unknown_variables(&command, std::env::vars_os());
    let matches = command.mut_args(ignore_empty_variable).try_get_matches_from(arguments);
    let matches = matches.map_err(|error| explain(error, arguments))?;
    let mut args = Args::from_arg_matches(&matches).map_err(|error| explain(error, arguments))?;
    set_color(args.output.color);
    args.resolve_contradictions(&matches).map_err(UsageError::Invalid)?;
    Ok(Parsed { args, unknown_variables })
}

/// Returns the value of --color ahead of clap, whose help and errors follow it too.
fn early_color(arguments: &[OsString]) -> ColorChoice {
    let mut words = arguments.iter().filter_map(|word| word.to_str());
    let typed = words.find_map(|word| word.strip_prefix("--color"));
    let typed = typed.and_then(|value| match value {
        "" => words.next(),
        value => value.strip_prefix('='),
    });
    let value = typed.map(str::to_owned).or_else(|| std::env::var(variable("color")).ok());
    value.and_then(|value| ColorChoice::from_str(&value, false).ok()).unwrap_or_default()
}

/// Sets the choice for all output of the process.
fn set_color(choice: ColorChoice) {
    let choice = match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

impl Args {
    /// Lets a flag override the variable of its opposite, and rejects flags that lack another one or
    /// have no effect.
    fn resolve_contradictions(&mut self, matches: &ArgMatches) -> Result<(), String> {
        // clap propagates global flags from the subcommand.
        let typed = |flag: &str| matches.value_source(flag) == Some(ValueSource::CommandLine);
        match (typed("verbose"), typed("quiet")) {
            (true, true) => return Err("--verbose: cannot be used with --quiet".to_owned()),
            (true, false) => self.output.quiet = false,
            (false, true) => self.output.verbose = false,
            (false, false) => {}
        }
        // Not `requires` of clap, whose error does not name the variable.
        let source = |flag: &str| if typed(flag) { format!("--{flag}") } else { variable(flag) };
        let needs = |flag: &str, other: &str| {
            format!("{}: needs --{other} ({})", source(flag), variable(other))
        };
        match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => return Err(needs("cert", "key")),
            (None, Some(_)) => return Err(needs("key", "cert")),
            _ => {}
        }
        let has_retries = matches.value_source("retries") != Some(ValueSource::DefaultValue);
        if typed("retry_on") && !has_retries {
            return Err("--retry-on: has no effect without --retries".to_owned());
        }
        let has_tls = self.connection.target.iter().any(Target::is_tls);
        let tls_flags = ["ca_cert", "cert", "key", "server_name", "insecure"];
        match tls_flags.into_iter().find(|flag| !has_tls && typed(flag)) {
            Some(flag) => {
                let flag = flag.replace('_', "-");
                Err(format!("--{flag}: has no effect without an https:// or dns+https:/// target"))
            }
            None => Ok(()),
        }
    }
}

fn explain(error: clap::Error, arguments: &[OsString]) -> UsageError {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    if let DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand = error.kind() {
        return UsageError::Help(error);
    }
    if error.kind() == ErrorKind::InvalidUtf8
        && let Some(reason) = not_utf8(arguments)
    {
        return UsageError::Invalid(reason);
    }
    let place = |flag: &str| place(flag, arguments);
    let reason = usage::explain(&error, place, |word| with_flag(word, arguments));
    let lacks_method = error.kind() == ErrorKind::MissingRequiredArgument
        && error.get(ContextKind::InvalidArg)
            == Some(&ContextValue::Strings(vec![METHOD.to_owned()]));
    UsageError::Invalid(if lacks_method {
        format!("{reason}; the methods are {}", unary_methods().join(", "))
    } else {
        reason
    })
}

/// Names the argument or the variable that is not UTF-8, which errors of clap do not.
fn not_utf8(arguments: &[OsString]) -> Option<String> {
    // Only paths need not be UTF-8: an argument is at fault if clap rejects it as the only one.
    let is_at_fault = |index: &usize| {
        let lossy = |argument: &OsString| argument.to_string_lossy().into_owned().into();
        let mut all: Vec<OsString> = arguments.iter().map(lossy).collect();
        all[*index].clone_from(&arguments[*index]);
        let error = without_variables().try_get_matches_from(all).err();
        arguments[*index].to_str().is_none()
            && error.is_some_and(|error| error.kind() == ErrorKind::InvalidUtf8)
    };
    if let Some(index) = (0..arguments.len()).find(is_at_fault) {
        let argument = arguments[index].as_encoded_bytes();
        let before = index.checked_sub(1).and_then(|index| arguments[index].to_str());
        let equals = argument.iter().position(|byte| *byte == b'=');
        let (flag, value) = match (equals, before) {
            (Some(equals), _) if argument.starts_with(b"--") => {
                (String::from_utf8_lossy(&argument[..equals]), &argument[equals + 1..])
            }
            _ if argument.starts_with(b"-H") => ("--header".into(), argument),
            (_, Some("-H")) => ("--header".into(), argument),
            (_, Some(flag)) if flag.starts_with("--") => (flag.into(), argument),
            _ => (format!("argument {index}").into(), argument),
        };
        // A header may be secret.
        let is_secret = flag == "--header";
        let value = if is_secret { "the value".to_owned() } else { escaped(value) };
        return Some(format!("{flag}: {value} is not UTF-8"));
    }
    let command = Args::command();
    let mut variables = command.get_arguments().filter_map(|flag| {
        let is_path = flag.get_value_parser().type_id() == TypeId::of::<PathBuf>();
        flag.get_env().filter(|_| !is_path)
    });
    let invalid = variables.find(|variable| {
        std::env::var_os(variable).is_some_and(|value| value.to_str().is_none())
    })?;
    Some(format!("{}: the value is not UTF-8", invalid.display()))
}

/// Quotes bytes; those that are not UTF-8 are escaped.
fn escaped(bytes: &[u8]) -> String {
    let chunks = bytes.utf8_chunks();
    let text: String =
        chunks.map(|it| format!("{}{}", it.valid(), it.invalid().escape_ascii())).collect();
    format!("\"{text}\"")
}

fn without_variables() -> Command {
    Args::command().mut_args(|flag| flag.env(None::<&str>))
}

/// Returns the flag, or the variable if the flag was not typed.
fn place(flag: &str, arguments: &[OsString]) -> String {
    let error = without_variables().try_get_matches_from(arguments).err();
    let is_typed = error.is_some_and(|error| usage::invalid_flag(&error) == Some(flag));
    if is_typed { format!("--{flag}") } else { variable(flag) }
}

/// Puts the flag before an argument that lacks one: `health x.Y` means `health --service x.Y`.
fn with_flag(argument: &str, arguments: &[OsString]) -> Option<String> {
    let command = Args::command();
    let subcommand = arguments.iter().find_map(|word| command.find_subcommand(word))?;
    let has = |flag: &&str| subcommand.get_arguments().any(|it| it.get_long() == Some(flag));
    let flag = match argument {
        _ if argument.starts_with('-') => return None,
        _ if argument.starts_with('{') => ["json"].into_iter().find(has)?,
        _ if argument.contains(':') => "target",
        _ => ["name", "service"].into_iter().find(has)?,
    };
    let quoted = match argument {
        _ if argument.contains('"') => format!("'{argument}'"),
        _ if argument.contains(char::is_whitespace) => format!("{argument:?}"),
        _ => argument.to_owned(),
    };
    Some(format!("--{flag} {quoted}"))
}
