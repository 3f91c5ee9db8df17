//! `hello`: whom to greet, how often, and how many at a time.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::ArgGroup;

use super::values::{count, number};
use crate::bulk::{BulkOptions, NameSource};

/// Keeps a server busy across a network, and is the least that RFC 9113 recommends servers to allow on
/// one connection.
const DEFAULT_CONCURRENCY: u32 = 100;
/// For names that are read: on one connection both sides wait for each other, and only one core of a
/// server has work.
const CONNECTIONS_FOR_MANY: u32 = 2;
/// What a process may open, and a machine answer.
const MAX_CONCURRENCY: u32 = 10_000;
const MAX_CONNECTIONS: u32 = 1_000;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("whom").required(true).args(["names", "names_from"]))]
pub(crate) struct HelloArgs {
    /// Whom to greet; repeat for more, answered in this order
    #[arg(long = "name", value_name = "NAME", allow_hyphen_values = true)]
    names: Vec<String>,

    /// Greet every line of a file, or of standard input if it is -; an empty line is an empty name
    #[arg(long, value_name = "FILE|-")]
    names_from: Option<PathBuf>,

    /// Greet each name so often
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = "names_from")]
    #[arg(value_parser = count)]
    count: NonZeroU64,

    /// Calls under way at a time, at most [default: 100, with --names-from 200]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_CONCURRENCY))]
    concurrency: Option<u32>,

    /// Connections to each target that calls go over in turn [default: 1, with --names-from 2]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = number(1..=MAX_CONNECTIONS))]
    connections: Option<u32>,

    /// Begin no call after the first that failed
    #[arg(long)]
    fail_fast: bool,
}

impl HelloArgs {
    pub(crate) fn options(self) -> BulkOptions {
        let connections = if self.names_from.is_some() { CONNECTIONS_FOR_MANY } else { 1 };
        let concurrency = self.concurrency.unwrap_or(connections * DEFAULT_CONCURRENCY);
        BulkOptions {
            concurrency: concurrency as usize,
            connections: self.connections.unwrap_or(connections) as usize,
            fail_fast: self.fail_fast,
            with_tally: self.count.get() > 1,
            source: match self.names_from {
                Some(file) => NameSource::File(file),
                None => NameSource::Typed { names: self.names, count: self.count },
            },
        }
    }
}
