//! `cargo xtask docs` and `cargo xtask dist`: what is generated from the definitions in both programs.
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
    if args.check { check() } else { generated::write_documents() }
}

/// Fails if a document is out of date.
pub(crate) fn check() -> anyhow::Result<()> {
    generated::check_documents()
}

/// Writes manual pages and completion scripts.
pub(crate) fn dist() -> anyhow::Result<()> {
    generated::write_artefacts()
}

#[cfg(feature = "docs")]
mod generated {
    pub(super) use super::dist::write as write_artefacts;
    pub(super) use super::documents::{check as check_documents, write as write_documents};
}

#[cfg(not(feature = "docs"))]
mod generated {
    use anyhow::Context as _;

    use crate::harness::programs::cargo;

    pub(super) fn write_documents() -> anyhow::Result<()> {
        with_definitions(&["docs"])
    }

    pub(super) fn check_documents() -> anyhow::Result<()> {
        with_definitions(&["docs", "--check"])
    }

    pub(super) fn write_artefacts() -> anyhow::Result<()> {
        with_definitions(&["dist"])
    }

    fn with_definitions(arguments: &[&str]) -> anyhow::Result<()> {
        let mut xtask = cargo();
        xtask.args([
            "run",
            "--quiet",
            "--locked",
            "--package",
            "xtask",
            "--features",
            "docs",
            "--",
        ]);
        let status = xtask.args(arguments).status().context("could not start cargo")?;
        anyhow::ensure!(status.success(), "cargo xtask {}: {status}", arguments.join(" "));
        Ok(())
    }
}
