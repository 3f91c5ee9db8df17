//! The only room that prints. Standard output is data, standard error is prose.

pub(crate) mod report;
mod stderr;
mod stdout;

use clap::ValueEnum;

pub(crate) use self::stderr::Stderr;
pub(crate) use self::stdout::{Stdout, Written};

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
