//! `cargo xtask`: what a person or a CI job does with this workspace beyond building it. Each task
//! is a file; all of them drive the built programs and none uses the crates behind them.

mod bench;
mod ci;
mod demo;
mod e2e;
mod harness;
mod reference;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Automation of the Greet workspace
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build both programs, start the daemon, say hello, stop the daemon
    Demo(demo::Args),
    /// Check the built programs end to end, with clients and servers of other languages
    E2e(e2e::Args),
    /// Measure the daemon beside its peers, and write docs/benchmarks.md
    Bench(bench::Args),
    /// Everything that must hold: format, lints, docs, tests, end to end
    Ci(ci::Args),
    /// Write the tables of the documents that mirror the programs
    Docs(reference::Args),
    /// Write the manual pages and completion scripts of both programs into target/dist
    Dist,
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Demo(args) => demo::run(&args),
        Task::E2e(args) => e2e::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Ci(args) => ci::run(&args),
        Task::Docs(args) => reference::docs(&args),
        Task::Dist => reference::dist(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            harness::command::step(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
