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
mod target;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::args::Args;
use crate::exit::Exit;
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(&args.connection);
    let exit = match run(args, &output) {
        Ok(exit) => exit,
        Err(error) => output.give_up(&error),
    };
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
