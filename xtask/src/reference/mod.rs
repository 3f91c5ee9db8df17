//! `cargo xtask docs`: files generated from the definitions in both programs.
//!
//! The definitions need the crates of both programs (feature `docs`), but `cargo xtask demo` should
//! compile few crates first. So a build without the feature runs one that has it.

#[cfg(feature = "docs")]
mod documents;
#[cfg(feature = "docs")]
mod pages;
#[cfg(feature = "docs")]
mod tables;

use std::path::{Path, PathBuf};

/// Write, or only compare
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail if a document is out of date, and write nothing
    #[arg(long)]
    check: bool,
    /// Write the manual pages and completion scripts instead
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "check")]
    pages: Option<PathBuf>,
}

/// Fails if a document is out of date.
pub(crate) fn check() -> anyhow::Result<()> {
    docs(&Args { check: true, pages: None })
}

/// Writes the manual pages and completion scripts into folders of `directory`.
pub(crate) fn pages(directory: &Path) -> anyhow::Result<()> {
    docs(&Args { check: false, pages: Some(directory.to_owned()) })
}

/// Generates the tables of the documents.
#[cfg(feature = "docs")]
pub(crate) fn docs(args: &Args) -> anyhow::Result<()> {
    match args {
        Args { check: true, .. } => documents::check(),
        Args { pages: Some(directory), .. } => pages::write(directory),
        Args { .. } => documents::write(),
    }
}

/// Runs a build that has the definitions.
#[cfg(not(feature = "docs"))]
pub(crate) fn docs(args: &Args) -> anyhow::Result<()> {
    let xtask = "run --quiet --locked --package xtask --features docs -- docs";
    let mut cargo = crate::harness::programs::cargo();
    cargo.args(xtask.split(' ')).args(args.check.then_some("--check"));
    if let Some(directory) = &args.pages {
        cargo.arg("--pages").arg(directory);
    }
    let status = cargo.status()?;
    anyhow::ensure!(status.success(), "cargo xtask docs: {status}");
    Ok(())
}
