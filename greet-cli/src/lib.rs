//! greet-cli as a library: [`main`] parses the arguments, runs the subcommand and returns the exit
//! code. [`command`] is the definition of the flags, from which xtask generates reference tables.

mod bulk;
mod cli;
mod client;
mod commands;
mod connect;
mod diagnose;
pub mod documentation;
mod error;
mod exit;
mod fd_limit;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod json;
mod load;
mod method;
mod output;
mod ping;

use std::io::{self, Write as _};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;
use greet_flags::product::CLI;
#[cfg(unix)]
use signal_hook::low_level::emulate_default_handler;

use crate::cli::{Args, CallCommand, Command, HealthArgs, Parsed, UsageError};
use crate::commands::Context;
use crate::connect::Target;
use crate::exit::Exit;
use crate::output::{Format, Stderr, Stdout, Verbosity};

/// Returns the definition of every subcommand and flag.
#[must_use]
pub fn command() -> clap::Command {
    Args::command()
}

/// Runs the subcommand in the arguments of the process and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let parsed = match cli::parse(&std::env::args_os().collect::<Vec<_>>()) {
        Ok(parsed) => parsed,
        Err(UsageError::Help(help)) => return print_help(&help),
        Err(UsageError::Invalid(reason)) => {
            Stderr::new(Format::Text, Verbosity::Normal).error(format_args!("{reason}"));
            return ExitCode::from(Exit::Usage.code());
        }
    };
    let output = &parsed.args.output;
    let verbosity = output.verbosity();
    let stderr = Stderr::new(output.output, verbosity);
    // A panic is an internal error with exit code 1; the default is an undocumented code.
    std::panic::set_hook(Box::new(move |panic| {
        if verbosity != Verbosity::Quiet {
            let _ = writeln!(io::stderr(), "{CLI}: internal error, please report it: {panic}");
        }
    }));
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| run(parsed)));
    let result = result.unwrap_or(Ok(Exit::Internal));
    let exit = result.unwrap_or_else(|error| {
        stderr.error(format_args!("{error:#}"));
        Exit::Internal
    });
    raise_signal(exit);
    ExitCode::from(exit.code())
}

/// Prints the help text or the version; on standard error if the command is missing.
fn print_help(help: &clap::Error) -> ExitCode {
    match help.print() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            ExitCode::from(Exit::Internal.code())
        }
        _ if help.use_stderr() => ExitCode::from(Exit::Usage.code()),
        _ => ExitCode::SUCCESS,
    }
}

fn run(parsed: Parsed) -> anyhow::Result<Exit> {
    // One thread: a call is a short sequence of messages, and a thread pool would slow the start.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let exit = runtime.block_on(dispatch(parsed));
    // A name lookup that hangs in the system's resolver cannot be cancelled; do not wait for it.
    runtime.shutdown_background();
    exit
}

/// Fails if standard output is not writable.
async fn dispatch(parsed: Parsed) -> anyhow::Result<Exit> {
    let Parsed { args, unknown_variables } = parsed;
    let Args { command: subcommand, connection, tls, output } = args;
    let stdout = &mut Stdout::new(output.output);
    let stderr = &mut Stderr::new(output.output, output.verbosity());
    let call = match subcommand {
        Command::Call(call) => *call,
        Command::Completions { shell } => {
            return commands::reference::completions(&command(), shell, stdout);
        }
        Command::Man => return commands::reference::man(&command(), stdout),
        Command::Errors => return commands::reference::errors(stdout),
    };
    for unknown in unknown_variables {
        stderr.note(format_args!("{unknown}"));
    }
    if tls.insecure && connection.target.iter().any(Target::is_tls) {
        stderr.note(format_args!("--insecure: the server's certificate is not verified"));
    }
    let mut call_options = match connection.call_options(&tls) {
        Ok(call_options) => call_options,
        Err(invalid) => {
            stderr.error(format_args!("{invalid:#}"));
            return Ok(Exit::Usage);
        }
    };
    for problem in call_options.tls.iter().flat_map(|tls| tls.problems()) {
        stderr.note(format_args!("{problem}"));
    }
    call_options.keeps_requests = stderr.is_verbose();
    if let Some(trace) = call_options.trace {
        stderr.note(format_args!("trace {trace}"));
        stdout.begin_trace(trace);
    }
    let context = Context { targets: connection.target, wait: connection.wait, call_options };
    match call {
        // <greeter>
        CallCommand::Hello(hello) => {
            let method = method::SayHello::new();
            commands::call::run(&method, &hello.options(), context, stdout, stderr).await
        }
        // </greeter>
        CallCommand::Call(call) => match call.options() {
            Ok((method, options)) => {
                commands::call::run(&method, &options, context, stdout, stderr).await
            }
            Err(invalid) => usage_error(&invalid, stderr),
        },
        CallCommand::Health(HealthArgs { all: true, .. }) => {
            commands::health_list::run(context, stdout, stderr).await
        }
        CallCommand::Health(HealthArgs { service, watch: true, .. }) => {
            commands::health_watch::run(&service, context, stdout, stderr).await
        }
        CallCommand::Health(HealthArgs { service, .. }) => {
            commands::health::run(&service, context, stdout, stderr).await
        }
        CallCommand::Diagnose(diagnose) => match diagnose.options() {
            Ok(options) => commands::diagnose::run(&options, context, stdout, stderr).await,
            Err(invalid) => usage_error(&invalid, stderr),
        },
        CallCommand::Load(load) => match load.options() {
            Ok(options) => commands::load::run(options, context, stdout, stderr).await,
            Err(invalid) => usage_error(&invalid, stderr),
        },
        CallCommand::Ping(ping) => match ping.options(context.call_options.timeout) {
            Ok(options) => commands::ping::run(&options, context, stdout, stderr).await,
            Err(invalid) => usage_error(&invalid, stderr),
        },
    }
}

fn usage_error(reason: &str, stderr: &Stderr) -> anyhow::Result<Exit> {
    stderr.error(format_args!("{reason}"));
    Ok(Exit::Usage)
}

/// Ends the process with the signal that interrupted it: a shell stops its script after Ctrl-C only
/// if the command died of SIGINT. Returns if there was no signal.
fn raise_signal(exit: Exit) {
    #[cfg(unix)]
    match exit {
        Exit::Interrupted => drop(emulate_default_handler(signal_hook::consts::SIGINT)),
        Exit::Terminated => drop(emulate_default_handler(signal_hook::consts::SIGTERM)),
        _ => {}
    }
}
