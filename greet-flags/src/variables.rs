//! Environment variables: each flag has one, named after it, and misspelt ones are reported.

use std::ffi::{OsStr, OsString};
use std::fmt;

use clap::{Arg, Command};

use crate::product::VARIABLE_PREFIX as PREFIX;

/// Minimum Jaro-Winkler similarity of a suggested name.
const MIN_SIMILARITY: f64 = 0.8;

/// Environment variables of greet-cli, without their prefix, sorted.
#[rustfmt::skip]
pub const CLI_VARIABLES: &[&str] = &[
    "AUTHORITY", "CA_CERT", "CERT", "COLOR", "CONNECT_TIMEOUT", "HEADER", "INSECURE", "KEY",
    "OUTPUT", "QUIET", "RETRIES", "RETRY_ON", "SERVER_NAME", "TARGET", "TIMEOUT", "TRACE",
    "VERBOSE", "WAIT",
];

/// Environment variables of greet-server, without their prefix, sorted.
#[rustfmt::skip]
pub const SERVER_VARIABLES: &[&str] = &[
    "ACCESS_LOG", "ADMIN_LISTEN", "ADMIN_READ_ONLY", "CONFIG", "CORS_ORIGIN", "DRAIN_DELAY",
    "DRAIN_TIMEOUT", "FAULT", "FAULT_SEED", "GRPC_WEB", "HANDSHAKE_TIMEOUT", "INSTANCE",
    "KEEPALIVE_INTERVAL", "KEEPALIVE_TIMEOUT", "LISTEN", "LOG_FORMAT", "LOG_LEVEL",
    "MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_IP", "MAX_CONNECTION_AGE", "MAX_CONNECTION_AGE_GRACE",
    "MAX_CONNECTION_IDLE", "MAX_IN_FLIGHT", "MAX_MESSAGE_BYTES", "MAX_NAME_BYTES",
    "MAX_STREAMING_CALLS", "MAX_STREAMING_CALLS_PER_CONNECTION", "MAX_STREAMS", "MEMORY_LIMIT",
    "MESSAGE_TIMEOUT", "NO_ANNOUNCE", "NO_REFLECTION", "OTLP_ENDPOINT", "REQUEST_TIMEOUT",
    "REUSE_PORT", "TLS_CERT", "TLS_CLIENT_AUTH", "TLS_CLIENT_CA", "TLS_KEY", "WORKERS",
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

/// Returns the environment variable of a flag.
#[must_use]
pub fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_uppercase().replace('-', "_"))
}

/// Gives a flag its variable. Help hides the values, which may be secret.
#[must_use]
pub fn with_variable(flag: Arg) -> Arg {
    match flag.get_long().map(variable) {
        Some(variable) => flag.env(variable).hide_env_values(true),
        None => flag,
    }
}

/// Treats an empty variable as unset, for scripts with `GREET_TARGET=${TARGET:-}`.
#[must_use]
pub fn ignore_empty_variable(flag: Arg) -> Arg {
    let value = flag.get_env().and_then(std::env::var_os);
    if value.is_some_and(|value| value.is_empty()) { flag.env(None::<&str>) } else { flag }
}

/// Returns the variables with our prefix that have no effect, sorted by name: they belong to no flag
/// of the command, not to the other program, and Kubernetes does not inject them.
#[must_use]
pub fn unknown_variables(
    command: &Command,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<UnknownVariable> {
    let known: Vec<_> =
        command.get_arguments().filter_map(|flag| flag.get_env()?.to_str()).collect();
    let unknown = environment.filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let suffix = name.strip_prefix(PREFIX)?;
        let is_known = known.contains(&name.as_str())
            || CLI_VARIABLES.contains(&suffix)
            || SERVER_VARIABLES.contains(&suffix)
            || is_from_kubernetes(suffix, &value);
        let suggestion = || {
            let suffixes = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
            nearest(suffix, suffixes).map(|suffix| format!("{PREFIX}{suffix}"))
        };
        (!is_known).then(|| UnknownVariable { suggestion: suggestion(), name: name.clone() })
    });
    let mut unknown: Vec<_> = unknown.collect();
    unknown.sort_by(|a, b| a.name.cmp(&b.name));
    unknown
}

/// Returns the known name that is most similar to a misspelt one.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|known| (strsim::jaro_winkler(known, name), known));
    let similar = scored.filter(|(similarity, _)| *similarity >= MIN_SIMILARITY);
    similar.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
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

    fn unknown(variables: &[(&str, &str)]) -> Vec<UnknownVariable> {
        let flags = ["max-streams", "config"].map(|name| with_variable(Arg::new(name).long(name)));
        let pairs = variables.iter().map(|(name, value)| (name.into(), value.into()));
        unknown_variables(&Command::new("sample").args(flags), pairs)
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
    fn variables_of_kubernetes_and_of_both_programs_are_known() {
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
