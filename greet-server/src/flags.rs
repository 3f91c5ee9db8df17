//! The command line of greet-server: the flags of the server itself, and those of its service.

use clap::{Command, Parser};
use greet_flags::values::number;

use crate::config::{self, CommandLine, Config, MAX_MESSAGE_BYTES, ServerFlags, Sources};

/// Longer than a name needs, and cheap to return.
const DEFAULT_MAX_NAME_BYTES: usize = 4_096;

/// Returns the definition of the command line, from which references are generated.
pub fn command() -> Command {
    config::command::<Flags>()
}

/// The daemon that hosts greet.Greeter
///
/// SIGTERM or SIGINT drains: health reports NOT_SERVING, listeners close, calls in flight finish. A
/// second signal closes all connections at once. SIGHUP reloads the TLS files. Addresses go to
/// standard output, logs to standard error.
#[derive(Debug, Parser)]
#[command(version = greet_flags::product::version())]
pub struct Flags {
    /// The flags of the server itself, from which the [`Config`] is made.
    #[command(flatten)]
    pub server: ServerFlags,

    /// Maximum length of a name, at most --max-message-bytes; longer names fail with INVALID_ARGUMENT
    #[arg(long, value_name = "N", help_heading = "Limits")]
    #[arg(value_parser = number(0..=MAX_MESSAGE_BYTES), default_value_t = DEFAULT_MAX_NAME_BYTES)]
    pub max_name_bytes: usize,
}

impl CommandLine for Flags {
    fn check(&self, config: &Config, sources: &Sources) -> Result<(), String> {
        let (name, message) = (self.max_name_bytes, config.limits.max_message_bytes);
        if sources.is_given("max-name-bytes") && name > message {
            let place = sources.place("max-name-bytes");
            return Err(format!(
                "{place}: {name} is above --max-message-bytes, which is {message}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_is_valid() {
        command().debug_assert();
    }
}
