//! The command line, as a story: parse, run, exit code.

mod args;
mod client;
mod commands;
mod connection;
mod exit;
mod failure;
mod metadata;
mod output;
mod report;
mod rpc;
mod status;
mod target;

use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::args::Args;
use crate::exit::Exit;
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::from_command_line();
    let output = Output::new(&args.connection);
    // A fault of ours is exit code 1 like any other; the default is a code that no table has.
    let quiet = args.connection.quiet;
    std::panic::set_hook(Box::new(move |panic| {
        if !quiet {
            let _ =
                writeln!(std::io::stderr(), "greet-cli: internal error, please report it: {panic}");
        }
    }));
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| run(args, &output)));
    let ended = ended.unwrap_or(Ok(Exit::Internal));
    let exit = ended.unwrap_or_else(|error| {
        output.note(format_args!("{error:#}"));
        Exit::Internal
    });
    ExitCode::from(exit.code())
}

fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    // One thread: a call is a few messages in a row, and a second thread would only add to its start.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let exit = runtime.block_on(commands::run(args, output));
    // A name look-up that hangs in the system's resolver cannot be cancelled; it is left behind.
    runtime.shutdown_background();
    exit
}
