//! `cargo xtask`: the tasks of a developer or a CI job besides building. They run the built
//! programs as a user does; only the feature `docs` reads the crates of the programs.

mod ci;
mod demo;
mod dist;
mod e2e;
mod fuzz;
mod harness;
mod hostile;
mod image;
mod reference;
mod tidy;

// <greeter>
mod bench;
mod images;
mod new;
// </greeter>

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
    /// Build both programs, start the daemon, call it, stop it
    Demo(demo::Args),
    /// Test the built programs with clients, servers and proxies of other stacks
    E2e(e2e::Args),
    /// Fuzz the parsers of bytes from peers
    Fuzz(fuzz::Args),
    /// Attack the daemon and other servers beside a well-behaved client, and write
    /// docs/hostile.md
    Hostile(hostile::Args),
    /// Run the quick checks: format, lints, unit tests, documents
    Check,
    /// Run every check: format, lints, documents, tests, end to end
    Ci(ci::Args),
    /// Generate the tables in the documents
    Docs(reference::Args),
    /// Write the files of a release into target/dist: tarball, Debian package, SBOM, checksums
    Dist(dist::Args),
    /// Build the container image
    Image(image::Args),
    // <greeter>
    /// Measure the daemon beside other servers, and write docs/benchmarks.md
    Bench(bench::Args),
    /// Take the picture in the README
    Images,
    /// Write a workspace for a service of your own
    New(new::Args),
    // </greeter>
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Demo(args) => demo::run(&args),
        Task::E2e(args) => e2e::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Hostile(args) => hostile::run(&args),
        Task::Check => ci::quick(),
        Task::Ci(args) => ci::run(&args),
        Task::Docs(args) => reference::docs(&args),
        Task::Dist(args) => dist::run(&args),
        Task::Image(args) => image::run(&args),
        // <greeter>
        Task::Bench(args) => bench::run(&args),
        Task::Images => images::run(),
        Task::New(args) => new::run(&args),
        // </greeter>
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            harness::command::progress(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
