//! `cargo xtask docs` and `dist`: files generated from the definitions in both programs.
//!
//! The definitions need the crates of both programs (feature `docs`), but `cargo xtask demo` should
//! compile few crates first. So a build without the feature runs one that has it.

#[cfg(feature = "docs")]
mod dist;
#[cfg(feature = "docs")]
mod documents;
#[cfg(feature = "docs")]
mod tables;

/// Write, or only compare
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail if a document is out of date, and write nothing
    #[arg(long)]
    check: bool,
}

/// Generates the tables of the documents.
pub(crate) fn docs(args: &Args) -> anyhow::Result<()> {
    if args.check { check() } else { run("docs") }
}

/// Fails if a document is out of date.
pub(crate) fn check() -> anyhow::Result<()> {
    run("docs --check")
}

/// Writes manual pages and completion scripts.
pub(crate) fn dist() -> anyhow::Result<()> {
    run("dist")
}

#[cfg(feature = "docs")]
fn run(task: &str) -> anyhow::Result<()> {
    match task {
        "docs" => documents::write(),
        "docs --check" => documents::check(),
        _ => dist::write(),
    }
}

#[cfg(not(feature = "docs"))]
fn run(task: &str) -> anyhow::Result<()> {
    let xtask = "run --quiet --locked --package xtask --features docs --";
    let mut cargo = crate::harness::programs::cargo();
    let status = cargo.args(xtask.split(' ')).args(task.split(' ')).status()?;
    anyhow::ensure!(status.success(), "cargo xtask {task}: {status}");
    Ok(())
}
