//! The command line. House rules for flags: long names in full; short names only where users expect
//! them; a variable for each global flag; a value parser for each value, so that later code gets
//! valid values only.

mod bulk_flags;
mod call_flags;
mod connection_flags;
mod help;
mod load_flags;
// <greeter>
mod name_flags;
// </greeter>
mod parse;
mod ping_flags;
mod values;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use greet_flags::product;
use greet_flags::usage::with_hyphen_value;
use greet_flags::variables::with_variable;

use self::call_flags::{CallArgs, MethodParser, single_request};
use self::connection_flags::{ConnectionArgs, OutputArgs, TlsArgs};
use self::load_flags::LoadArgs;
pub(crate) use self::parse::{Parsed, UsageError, parse};
use self::ping_flags::PingArgs;
use crate::diagnose::DiagnoseOptions;
use crate::method::JsonMethod;

/// Client of greet.Greeter that reports why a call failed and how to fix it
#[derive(Debug, Parser)]
#[command(version = product::version(), mut_args = |flag| with_hyphen_value(with_variable(flag)))]
#[command(help_template = help::TEMPLATE)]
#[command(before_help = help::EXAMPLES, after_help = help::EXIT_CODES, max_term_width = 80)]
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
    Call(Box<CallCommand>),
    /// Print a completion script
    #[command(help_template = help::TEMPLATE, before_help = help::COMPLETIONS_EXAMPLES)]
    Completions {
        /// Shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(help_template = help::TEMPLATE, before_help = help::MAN_EXAMPLES)]
    Man,
    /// List the errors of calls with hints and exit codes
    #[command(help_template = help::TEMPLATE, before_help = help::ERRORS_EXAMPLES)]
    Errors,
}

/// The commands that call a server.
#[derive(Debug, Subcommand)]
pub(crate) enum CallCommand {
    // <greeter>
    /// Call greet.Greeter/SayHello and print one reply per line
    #[command(help_template = help::TEMPLATE, before_help = name_flags::HELLO_EXAMPLES)]
    #[command(mut_args = with_hyphen_value)]
    Hello(name_flags::HelloArgs),
    // </greeter>
    /// Call any unary method with JSON and print one reply per line
    #[command(help_template = help::TEMPLATE, before_help = help::CALL_EXAMPLES)]
    #[command(mut_args = with_hyphen_value)]
    Call(CallArgs),
    /// Check the server's health (grpc.health.v1); for exec probes
    #[command(help_template = help::TEMPLATE, before_help = help::HEALTH_EXAMPLES)]
    Health(HealthArgs),
    /// Run each stage of a call and report its result
    #[command(help_template = help::TEMPLATE, before_help = help::DIAGNOSE_EXAMPLES)]
    Diagnose(DiagnoseArgs),
    /// Run a load test and report latency, throughput and errors
    #[command(help_template = help::TEMPLATE, before_help = help::LOAD_EXAMPLES)]
    #[command(mut_args = with_hyphen_value)]
    Load(Box<LoadArgs>),
    /// Call at a fixed interval and report outages, as during a rollout
    #[command(help_template = help::TEMPLATE, before_help = help::PING_EXAMPLES)]
    #[command(mut_args = with_hyphen_value)]
    Ping(PingArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// Service to check [default: the server as a whole]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) service: String,

    /// List every service with its health (gRFC A90); exit with 0 if all are SERVING
    #[arg(long, conflicts_with_all = ["service", "watch"])]
    pub(crate) all: bool,

    /// Print each change with its time until interrupted; with --wait, until SERVING
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DiagnoseArgs {
    /// Unary method to call: package.Service/Method, or a unique end of it
    #[arg(value_name = "METHOD", value_parser = MethodParser, hide_possible_values = true)]
    method: Option<JsonMethod>,

    /// Request in the JSON mapping of protobuf [default: {}]
    #[arg(long, value_name = "JSON")]
    json: Option<String>,

    /// Service whose health to check [default: the server as a whole]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) service: String,
}

impl DiagnoseArgs {
    /// Fails with the place and the reason if the request is not valid.
    pub(crate) fn options(self) -> Result<DiagnoseOptions, String> {
        let DiagnoseArgs { method, json, service } = self;
        let (method, input, body) = single_request(method, json)?;
        Ok(DiagnoseOptions { method, input, body, service })
    }
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
        let args = Args::try_parse_from(["greet-cli", "health"]).unwrap();
        assert_eq!(args.connection.target[0].to_string(), "http://127.0.0.1:50051");
        assert_eq!(args.connection.timeout, Duration::from_secs(5));
        assert_eq!(args.connection.wait, Duration::ZERO);
    }
}
