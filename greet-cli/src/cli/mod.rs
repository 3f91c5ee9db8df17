//! What can be typed. House rules for flags: long names in full; a short one only where fingers
//! expect it; everything that a script may want to set once has an environment variable; values
//! are parsed here, so that what goes on from here is valid.

mod connection_flags;
mod hello_flags;
mod help;
mod load_flags;
mod values;

use std::ffi::OsStr;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use self::connection_flags::{ConnectionArgs, OutputArgs, TlsArgs};
use self::hello_flags::HelloArgs;
use self::load_flags::LoadArgs;
use crate::connect::Target;

/// Says hello to a Greeter, and says what is wrong when it cannot
#[derive(Debug, Parser)]
#[command(version, mut_args = apply_conventions, help_template = help::TEMPLATE)]
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

impl Args {
    /// What was typed and what the environment says; ends the process if that cannot be used.
    pub(crate) fn from_command_line() -> Args {
        let mut command = Args::command();
        let matches = command.try_get_matches_from_mut(std::env::args_os());
        let matches = matches.unwrap_or_else(|error| with_variable_name(error, &command).exit());
        let mut args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let Err(problem) = args.validate(&matches) {
            command.error(ErrorKind::ArgumentConflict, problem).exit()
        }
        args
    }

    /// What clap does not know: a flag wins over the variable of its opposite, and what is typed must
    /// have an effect.
    fn validate(&mut self, matches: &ArgMatches) -> Result<(), String> {
        let typed = |flag| was_typed(matches, flag);
        match (typed("verbose"), typed("quiet")) {
            (true, true) => {
                return Err("the argument '--verbose' cannot be used with '--quiet'".to_owned());
            }
            (true, false) => self.output.quiet = false,
            (false, true) => self.output.verbose = false,
            (false, false) => {}
        }
        if !self.connection.target.iter().any(Target::is_tls) {
            let in_vain = ["ca_cert", "cert", "key", "server_name", "insecure"]
                .into_iter()
                .find(|flag| typed(flag));
            if let Some(flag) = in_vain {
                let flag = flag.replace('_', "-");
                return Err(format!(
                    "the argument '--{flag}' needs an https:// or dns+https:/// target"
                ));
            }
        }
        Ok(())
    }
}

/// A bad value that was not typed is a variable's, and the flag that was not typed cannot be mended.
fn with_variable_name(mut error: clap::Error, command: &clap::Command) -> clap::Error {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let typed = shown.split(' ').next().unwrap_or_default().to_owned();
    let is_typed = |argument: &OsStr| {
        let argument = argument.to_string_lossy();
        argument == typed.as_str() || argument.starts_with(&format!("{typed}="))
    };
    let flag = command.get_arguments().find(|flag| flag.get_long() == typed.strip_prefix("--"));
    let variable = flag.and_then(Arg::get_env).filter(|name| std::env::var_os(name).is_some());
    if let (Some(variable), false) = (variable, std::env::args_os().any(|it| is_typed(&it))) {
        let place = format!("{} ({typed})", variable.display());
        error.insert(ContextKind::InvalidArg, ContextValue::String(place));
    }
    error
}

/// A global flag may stand before the command and after it.
fn was_typed(matches: &ArgMatches, flag: &str) -> bool {
    let here = matches.value_source(flag) == Some(ValueSource::CommandLine);
    here || matches.subcommand().is_some_and(|(_, matches)| {
        matches.try_contains_id(flag).is_ok()
            && matches.value_source(flag) == Some(ValueSource::CommandLine)
    })
}

/// Help never shows what a variable holds (it may be a secret); and a variable that is empty is not
/// set, as scripts mean it that write `GREET_TARGET=${TARGET:-}`.
fn apply_conventions(flag: Arg) -> Arg {
    let flag = flag.hide_env_values(true);
    let variable = flag.get_env().map(ToOwned::to_owned);
    let value = variable.and_then(std::env::var_os);
    if value.is_some_and(|value| value.is_empty()) { flag.env(None::<&str>) } else { flag }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
