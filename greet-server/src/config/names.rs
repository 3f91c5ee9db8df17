//! Names of settings: the keys of the file, the environment variables, and suggestions for misspelt
//! ones.

use clap::{Arg, Command};

/// Jaro-Winkler similarity from which a name is suggested for another.
const MIN_SIMILARITY: f64 = 0.8;

const PREFIX: &str = "GREET_";

/// Returns the keys of a file with their flags, in the order of the help text.
pub(super) fn keys(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let flags = command.get_arguments().filter(|flag| flag.get_env().is_some());
    let keys = flags.filter_map(|flag| Some((flag.get_long()?, flag)));
    keys.filter(|(key, _)| *key != "config")
}

/// Returns the environment variable of a flag.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('-', "_"))
}

/// Returns the candidate that is most similar to `name`.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let scored = candidates.map(|candidate| (strsim::jaro_winkler(candidate, name), candidate));
    let scored = scored.filter(|(similarity, _)| *similarity >= MIN_SIMILARITY);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::command;

    #[test]
    fn variable_is_named_after_its_key() {
        for (key, flag) in keys(&command()) {
            assert_eq!(flag.get_env().unwrap(), variable(key).as_str());
        }
    }
}
