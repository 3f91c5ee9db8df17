//! Environment variables: each global flag has one, named after it.

use clap::Arg;

const PREFIX: &str = "GREET_";

/// Returns the variable of a flag.
pub(super) fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_uppercase().replace('-', "_"))
}

/// Gives a flag its variable. Help hides the values, which may be secret.
pub(super) fn with_variable(flag: Arg) -> Arg {
    match flag.get_long().map(variable) {
        Some(variable) => flag.env(variable).hide_env_values(true),
        None => flag,
    }
}
