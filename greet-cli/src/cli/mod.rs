//! What can be typed. House rules for flags: long names in full; a short one only where fingers
//! expect it; everything that a script may want to set once has an environment variable; values
//! are parsed here, so that what goes on from here is valid.

mod connection_flags;
mod hello_flags;
mod help;
mod load_flags;
mod parse;
mod values;
mod variables;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use self::connection_flags::{ConnectionArgs, OutputArgs, TlsArgs};
use self::hello_flags::HelloArgs;
use self::load_flags::LoadArgs;
pub(crate) use self::parse::{UsageError, parse};
pub(crate) use self::variables::unknown_variables;
use self::variables::with_variable;

/// Says hello to a Greeter, and says what is wrong when it cannot
#[derive(Debug, Parser)]
#[command(version, mut_args = with_variable, help_template = help::TEMPLATE)]
#[command(before_help = help::EXAMPLES, after_help = help::EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Call(CallCommand),
    /// Print a completion script
    #[command(help_template = help::TEMPLATE, before_help = help::COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell that it is for
        shell: Shell,
    },
    /// Print the manual page
    #[command(help_template = help::TEMPLATE, before_help = help::MAN_EXAMPLES)]
    Man,
    /// Print what is told apart when a call fails: what it says, what helps, the exit code
    #[command(help_template = help::TEMPLATE)]
    Errors,
}

/// The commands that call a server.
#[derive(Debug, Subcommand)]
pub(crate) enum CallCommand {
    /// Call greet.Greeter/SayHello; one reply a line on standard output
    #[command(help_template = help::TEMPLATE, before_help = help::HELLO_EXAMPLES)]
    Hello(HelloArgs),
    /// Ask grpc.health.v1 whether the server is serving; fit for an exec probe
    #[command(help_template = help::TEMPLATE, before_help = help::HEALTH_EXAMPLES)]
    Health(HealthArgs),
    /// Walk the way of a call, stage by stage, and say what was found in each
    #[command(help_template = help::TEMPLATE, before_help = help::DIAGNOSE_EXAMPLES)]
    Diagnose(DiagnoseArgs),
    /// Call SayHello as fast as it goes, or at a rate, and say how long the calls took
    #[command(help_template = help::TEMPLATE, before_help = help::LOAD_EXAMPLES)]
    Load(LoadArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// The service to ask about; without it, the server as a whole
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) service: String,

    /// Print each change, with its time, until interrupted; with --wait, until it is SERVING
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DiagnoseArgs {
    /// The service to ask health about; without it, the server as a whole
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) service: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn defaults_are_valid() {
        let args = Args::try_parse_from(["greet-cli", "hello", "--name", "Ada"]).unwrap();
        assert_eq!(args.connection.target[0].to_string(), "http://127.0.0.1:50051");
        assert_eq!(args.connection.timeout, Duration::from_secs(5));
        assert_eq!(args.connection.wait, Duration::ZERO);
    }
}
