//! Standard output carries data, standard error messages. Only help and panics bypass this module.

pub(crate) mod report;
mod stderr;
mod stdout;
pub(crate) mod style;

use clap::ValueEnum;

pub(crate) use self::stderr::Stderr;
pub(crate) use self::stdout::{Stdout, Written};

/// Form of standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Amount of messages on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}
