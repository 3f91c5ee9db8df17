//! The only room that prints. Standard output is data, standard error is prose.

mod data;
mod progress;
mod prose;

use clap::ValueEnum;

pub(crate) use data::{Data, Written};
pub(crate) use prose::Prose;

/// The form of standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// How much goes to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}
