//! Names of settings: keys of the file, environment variables, and suggestions for misspelt ones.

use std::ffi::{OsStr, OsString};
use std::fmt;

use clap::{Arg, Command};

/// Minimum Jaro-Winkler similarity of a suggested name.
const MIN_SIMILARITY: f64 = 0.8;

const PREFIX: &str = "GREET_";

/// Environment variables of greet-cli, which may run beside the daemon.
#[rustfmt::skip]
pub const CLI_VARIABLES: [&str; 17] = [
    "GREET_CA_CERT", "GREET_CERT", "GREET_COLOR", "GREET_CONNECT_TIMEOUT", "GREET_HEADER",
    "GREET_INSECURE", "GREET_KEY", "GREET_OUTPUT", "GREET_QUIET", "GREET_RETRIES",
    "GREET_RETRY_ON", "GREET_SERVER_NAME", "GREET_TARGET", "GREET_TIMEOUT", "GREET_TRACE",
    "GREET_VERBOSE", "GREET_WAIT",
];

/// A variable with our prefix that has no effect, probably because it is misspelt.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The most similar name that has an effect.
    pub suggestion: Option<String>,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownVariable { name, suggestion } = self;
        write!(f, "{name}: unknown environment variable, ignored")?;
        suggestion.iter().try_for_each(|name| write!(f, "; did you mean {name}?"))
    }
}

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

/// Returns the key that is most similar to a misspelt key, or to a variable without its prefix.
pub(super) fn nearest_key<'a>(name: &str, command: &'a Command) -> Option<&'a str> {
    let name = name.to_lowercase().replace('_', "-");
    let scored = keys(command).map(|(key, _)| (strsim::jaro_winkler(key, &name), key));
    let similar = scored.filter(|(similarity, _)| *similarity >= MIN_SIMILARITY);
    similar.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, key)| key)
}

/// Returns the variables with our prefix that have no effect.
pub(super) fn unknown_variables(
    command: &Command,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<UnknownVariable> {
    let unknown = environment.filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let suffix = name.strip_prefix(PREFIX)?;
        let is_known = command.get_arguments().any(|flag| flag.get_env() == Some(name.as_ref()))
            || CLI_VARIABLES.contains(&name.as_str())
            || is_from_kubernetes(suffix, &value);
        let suggestion = || nearest_key(suffix, command).map(variable);
        (!is_known).then(|| UnknownVariable { suggestion: suggestion(), name: name.clone() })
    });
    let mut unknown: Vec<_> = unknown.collect();
    unknown.sort_by(|a, b| a.name.cmp(&b.name));
    unknown
}

/// Returns whether Kubernetes injects the variable, for a service `greet` or `greet-server`.
fn is_from_kubernetes(suffix: &str, value: &OsStr) -> bool {
    let suffix = suffix.strip_prefix("SERVER_").unwrap_or(suffix);
    match suffix.split('_').collect::<Vec<_>>()[..] {
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
        // Otherwise a user's attempt to set the port.
        ["PORT"] => value.to_string_lossy().contains("://"),
        ["PORT", port, "TCP" | "UDP" | "SCTP", ref part @ ..] => {
            port.parse::<u16>().is_ok() && matches!(part, [] | ["PROTO" | "PORT" | "ADDR"])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::command;

    fn unknown(variables: &[(&str, &str)]) -> Vec<UnknownVariable> {
        let pairs = variables.iter().map(|(name, value)| (name.into(), value.into()));
        unknown_variables(&command(), pairs)
    }

    #[test]
    fn misspelt_variable_is_unknown_with_nearest_name() {
        let names = ["GREET_ZEBRA", "GREET_MAX_STREAM", "MAX_STREAM", "GREET_CHECK"];
        let found = unknown(&names.map(|name| (name, "1")));
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        let expected = [
            "GREET_CHECK: unknown environment variable, ignored",
            "GREET_MAX_STREAM: unknown environment variable, ignored; did you mean GREET_MAX_STREAMS?",
            "GREET_ZEBRA: unknown environment variable, ignored",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn variables_of_kubernetes_and_the_cli_are_known() {
        for service in ["GREET", "GREET_SERVER"] {
            for (name, value) in [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_PORT", "50051"),
                ("SERVICE_PORT_ADMIN", "9090"),
                ("PORT", "tcp://10.0.0.1:50051"),
                ("PORT_50051_TCP", "tcp://10.0.0.1:50051"),
                ("PORT_50051_TCP_PROTO", "tcp"),
                ("PORT_50051_UDP_PORT", "50051"),
                ("PORT_50051_SCTP_ADDR", "10.0.0.1"),
            ] {
                assert_eq!(unknown(&[(&format!("{service}_{name}"), value)]), []);
            }
        }
        let known = ["GREET_TARGET", "GREET_CONFIG", "GREET_LISTEN"];
        assert_eq!(unknown(&known.map(|name| (name, ""))), []);
        let others = ["GREET_PORT", "GREET_PORT_X_TCP", "GREET_PORT_1_TCP_X"];
        assert_eq!(unknown(&others.map(|name| (name, "8080"))).len(), others.len());
    }
}
