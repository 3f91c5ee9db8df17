//! Environment variables: each global flag has one, named after it; misspelt ones are reported.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command, CommandFactory as _};

use super::Args;

/// Jaro-Winkler similarity from which a name is suggested for another.
const MIN_SIMILARITY: f64 = 0.8;

const PREFIX: &str = "GREET_";

/// Environment variables of greet-server, which may run beside this program.
#[rustfmt::skip]
const SERVER_VARIABLES: [&str; 32] = [
    "GREET_ACCESS_LOG", "GREET_ADMIN_LISTEN", "GREET_CONFIG", "GREET_CORS_ORIGIN",
    "GREET_DRAIN_DELAY", "GREET_DRAIN_TIMEOUT", "GREET_GRPC_WEB", "GREET_HANDSHAKE_TIMEOUT",
    "GREET_INSTANCE", "GREET_KEEPALIVE_INTERVAL", "GREET_KEEPALIVE_TIMEOUT", "GREET_LISTEN",
    "GREET_LOG_FORMAT", "GREET_LOG_LEVEL", "GREET_MAX_CONNECTIONS", "GREET_MAX_CONNECTIONS_PER_IP",
    "GREET_MAX_CONNECTION_AGE", "GREET_MAX_CONNECTION_AGE_GRACE", "GREET_MAX_CONNECTION_IDLE",
    "GREET_MAX_IN_FLIGHT", "GREET_MAX_MESSAGE_BYTES", "GREET_MAX_NAME_BYTES", "GREET_MAX_STREAMS",
    "GREET_NO_REFLECTION", "GREET_OTLP_ENDPOINT", "GREET_REQUEST_TIMEOUT", "GREET_REUSE_PORT",
    "GREET_TLS_CERT", "GREET_TLS_CLIENT_AUTH", "GREET_TLS_CLIENT_CA", "GREET_TLS_KEY",
    "GREET_WORKERS",
];

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

/// Returns a warning for each variable with our prefix that has no effect, sorted by name.
pub(crate) fn unknown_variables(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<String> {
    let named = environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let mut ours: Vec<_> = named.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    if ours.is_empty() {
        return Vec::new();
    }
    ours.sort();
    let command = Args::command();
    let known: Vec<_> = variables(&command).collect();
    let is_unknown = |(name, value): &(String, OsString)| {
        !known.contains(&name.as_str())
            && !SERVER_VARIABLES.contains(&name.as_str())
            && !is_from_kubernetes(&name[PREFIX.len()..], value)
    };
    let warning = |(name, _): (String, OsString)| {
        let suggestion = nearest(&name, &known).map(|known| format!("; did you mean {known}?"));
        let suggestion = suggestion.unwrap_or_default();
        format!("{name}: unknown environment variable, ignored{suggestion}")
    };
    ours.into_iter().filter(is_unknown).map(warning).collect()
}

fn variables(command: &Command) -> impl Iterator<Item = &str> {
    command.get_arguments().filter_map(|flag| flag.get_env()?.to_str())
}

fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let similarity =
        |known: &str| strsim::jaro_winkler(&known[PREFIX.len()..], &name[PREFIX.len()..]);
    let scored = known.iter().map(|known| (similarity(known), *known));
    let similar = scored.filter(|(similarity, _)| *similarity >= MIN_SIMILARITY);
    similar.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// Returns whether Kubernetes injects the variable into each pod, for a service `greet` or
/// `greet-server`. greet-server has the same rule.
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

    #[test]
    fn each_program_knows_the_variables_of_the_other() {
        let sorted = |command: Command| {
            let mut names: Vec<_> = variables(&command).map(str::to_owned).collect();
            names.sort();
            names
        };
        assert_eq!(sorted(greet_server::config::command()), SERVER_VARIABLES);
        assert_eq!(sorted(Args::command()), greet_server::config::CLI_VARIABLES);
    }

    #[test]
    fn misspelt_variable_is_unknown_with_nearest_name() {
        let unknown = |variables: &[(&str, &str)]| {
            unknown_variables(variables.iter().map(|(name, value)| (name.into(), value.into())))
        };
        let expected = [
            "GREET_PORT: unknown environment variable, ignored",
            "GREET_TAGRET: unknown environment variable, ignored; did you mean GREET_TARGET?",
        ];
        let misspelt = [("GREET_TAGRET", ":1"), ("GREET_PORT", "8080"), ("TAGRET", ":1")];
        assert_eq!(unknown(&misspelt), expected);
        let known = [
            ("GREET_TARGET", ":1"),
            ("GREET_LISTEN", ":1"),
            ("GREET_PORT", "tcp://10.0.0.1:50051"),
            ("GREET_SERVICE_HOST", "10.0.0.1"),
            ("GREET_SERVER_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ];
        assert_eq!(unknown(&known), [""; 0]);
    }
}
