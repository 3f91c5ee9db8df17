//! What can be typed. House rules for flags: long names in full; a short one only where fingers
//! expect it; everything that a script may want to set once has an environment variable; values
//! are parsed here, so that what goes on from here is valid.

use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::metadata::Header;
use crate::target::Target;

/// Where the daemon listens unless it was told otherwise.
const DEFAULT_TARGET: &str = "http://127.0.0.1:50051";
/// Thousands of times what a greeting takes, and still within the patience of a person.
const DEFAULT_TIMEOUT: &str = "5s";
/// Beyond a day a duration is a typing error, and arithmetic on it stays far from overflow.
const LONGEST_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

const EXIT_CODES: &str = "\
Exit codes:
  0       done
  1       output could not be written, or an internal error
  2       bad flags or arguments
  3       could not connect (dns, tcp, http2): the call was never sent, so it is safe to repeat
  4       health: not SERVING
  64 + n  the call ended with gRPC status n: 67 INVALID_ARGUMENT, 68 DEADLINE_EXCEEDED, 78 UNAVAILABLE, ...

With many calls the code is the first failure's.";

/// Says hello to a Greeter, and says what is wrong when it cannot
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, mut_args = house_rules)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Call greet.Greeter/SayHello; one reply a line on standard output
    Hello(HelloArgs),
    /// Ask grpc.health.v1 whether the server is serving; fit for an exec probe
    Health(HealthArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct HelloArgs {
    /// Whom to greet; repeat for more, answered in this order
    #[arg(long = "name", value_name = "NAME", required = true, allow_hyphen_values = true)]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// The service to ask about; without it, the server as a whole
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) service: String,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// The server: http://HOST:PORT, HOST:PORT or unix:PATH
    #[arg(long, global = true, value_name = "TARGET", env = "GREET_TARGET")]
    #[arg(default_value = DEFAULT_TARGET)]
    pub(crate) target: Target,

    /// Time for everything from the name look-up to the last reply; also sent as grpc-timeout
    #[arg(long, global = true, value_name = "DUR", env = "GREET_TIMEOUT")]
    #[arg(default_value = DEFAULT_TIMEOUT, value_parser = timeout)]
    pub(crate) timeout: Duration,

    /// Time for connecting alone (dns, tcp, http2) [default: what --timeout leaves]
    #[arg(long, global = true, value_name = "DUR", env = "GREET_CONNECT_TIMEOUT")]
    #[arg(value_parser = timeout)]
    pub(crate) connect_timeout: Option<Duration>,

    /// Keep trying for this long until the server is reachable and, for health, SERVING
    #[arg(long, global = true, value_name = "DUR", env = "GREET_WAIT")]
    #[arg(default_value = "0s", value_parser = duration)]
    pub(crate) wait: Duration,

    /// Metadata 'key: value'; a -bin key takes base64, @FILE reads the value; repeat, or a line each
    #[arg(short = 'H', long, global = true, value_name = "HEADER", env = "GREET_HEADER")]
    #[arg(value_delimiter = '\n')]
    pub(crate) header: Vec<Header>,

    /// text prints the reply alone, json one object a call, on failure too
    #[arg(long, global = true, value_name = "FORMAT", env = "GREET_OUTPUT")]
    #[arg(default_value = "text", hide_possible_values = true)]
    pub(crate) output: Format,

    /// Tell on standard error how each call went
    #[arg(short, long, global = true, env = "GREET_VERBOSE")]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) verbose: bool,

    /// Say nothing on standard error; the exit code tells
    #[arg(short, long, global = true, env = "GREET_QUIET")]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
}

impl Args {
    /// What was typed and what the environment says; ends the process if that cannot be used.
    pub(crate) fn from_command_line() -> Args {
        let mut command = Args::command();
        let matches = command.get_matches_mut();
        let typed = |flag| matches.value_source(flag) == Some(ValueSource::CommandLine);
        let mut args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        match (typed("verbose"), typed("quiet")) {
            (true, true) => {
                let problem = "the argument '--verbose' cannot be used with '--quiet'";
                command.error(ErrorKind::ArgumentConflict, problem).exit()
            }
            (true, false) => args.connection.quiet = false,
            (false, true) => args.connection.verbose = false,
            (false, false) => {}
        }
        args
    }
}

/// Help never shows what a variable holds (it may be a secret); and a variable that is empty is not
/// set, as scripts mean it that write `GREET_TARGET=${TARGET:-}`.
fn house_rules(flag: Arg) -> Arg {
    let flag = flag.hide_env_values(true);
    let variable = flag.get_env().map(ToOwned::to_owned);
    let value = variable.and_then(std::env::var_os);
    if value.is_some_and(|value| value.is_empty()) { flag.env(None::<&str>) } else { flag }
}

/// The form of standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

fn duration(given: &str) -> Result<Duration, String> {
    match humantime::parse_duration(given) {
        Ok(duration) if duration <= LONGEST_DURATION => Ok(duration),
        _ => Err("expected a duration such as 250ms, 5s or 1m, at most 1day".to_owned()),
    }
}

/// A duration that leaves time for something to happen.
fn timeout(given: &str) -> Result<Duration, String> {
    match duration(given)? {
        Duration::ZERO => Err("expected a duration above zero".to_owned()),
        timeout => Ok(timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_valid() {
        let args = Args::try_parse_from(["greet-cli", "hello", "--name", "Ada"]).unwrap();
        assert_eq!(args.connection.target.to_string(), "http://127.0.0.1:50051");
        assert_eq!(args.connection.timeout, Duration::from_secs(5));
        assert_eq!(args.connection.wait, Duration::ZERO);
    }

    #[test]
    fn durations_have_units_and_an_end() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1day"), Ok(LONGEST_DURATION));
        for bad in ["", "5", "-1s", "soon", "2days"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(timeout("0s").is_err());
    }
}
