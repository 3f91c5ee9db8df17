//! Usage errors: one line, `PLACE: REASON`, with a suggestion.

use std::error::Error as _;

use clap::Arg;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Makes one line of an error of clap: the place of an invalid value and the reason, or else clap's
/// message; then a suggestion.
///
/// `place` names the source of a flag's value: the flag, its variable or a position in a file.
/// `correct` suggests what was meant by an unknown argument for which clap has no suggestion.
pub fn explain(
    error: &clap::Error,
    place: impl Fn(&str) -> String,
    correct: impl Fn(&str) -> Option<String>,
) -> String {
    let reason = match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::ValueValidation, _) => error.source().map(ToString::to_string),
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
            let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
            Some(format!("{value:?} is not one of {}", valid.join(", ")))
        }
        _ => None,
    };
    let message = match (invalid_flag(error), reason) {
        (Some(flag), Some(reason)) => format!("{}: {reason}", place(flag)),
        (None, Some(reason)) => reason,
        (_, None) => first_paragraph(error),
    };
    message + &suggestion(error, correct)
}

/// Takes `-1s` after a flag for a quantity as its value, so that the error states the expected form and
/// not an unknown flag `-1`.
#[must_use]
pub fn with_hyphen_value(flag: Arg) -> Arg {
    let is_quantity = |name: &str| matches!(name, "N" | "DUR" | "SIZE" | "RATE");
    let names = flag.get_value_names().unwrap_or_default();
    if names.iter().any(|name| is_quantity(name)) { flag.allow_hyphen_values(true) } else { flag }
}

/// Returns the name of the flag with the invalid value.
#[must_use]
pub fn invalid_flag(error: &clap::Error) -> Option<&str> {
    let shown = text(error, ContextKind::InvalidArg)?; // such as `--timeout <DUR>`
    shown.strip_prefix("--")?.split(' ').next()
}

fn suggestion(error: &clap::Error, correct: impl Fn(&str) -> Option<String>) -> String {
    let value = text(error, ContextKind::SuggestedValue).map(|value| format!("{value:?}"));
    let flag = text(error, ContextKind::SuggestedArg).map(str::to_owned);
    let subcommand = match error.get(ContextKind::SuggestedSubcommand) {
        // The most similar name is the last.
        Some(ContextValue::Strings(names)) => names.last().cloned(),
        _ => None,
    };
    let suggestion = value.or(flag).or(subcommand).or_else(|| {
        let is_unknown = error.kind() == ErrorKind::UnknownArgument;
        correct(text(error, ContextKind::InvalidArg).filter(|_| is_unknown)?)
    });
    let tip = match error.get(ContextKind::Suggested) {
        Some(ContextValue::StyledStrs(tips)) => tips.first().map(|tip| format!("; {tip}")),
        _ => None,
    };
    let question = suggestion.map(|suggestion| format!("; did you mean {suggestion}?"));
    question.or(tip).unwrap_or_default()
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

fn first_paragraph(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}
