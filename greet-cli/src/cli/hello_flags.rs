//! Flags of `hello`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::ArgGroup;
use greet_flags::values::number;

use super::values::count;
use crate::bulk::{BulkOptions, NameSource};

/// Enough to use a server across a network, and the minimum of SETTINGS_MAX_CONCURRENT_STREAMS that
/// RFC 9113 recommends.
const DEFAULT_CONCURRENCY: u32 = 100;
/// For names from a file: on one connection client and server wait for each other, and the server
/// uses one core only.
const CONNECTIONS_WITH_FILE: u32 = 2;
/// Higher values are typing errors, and would exhaust file descriptors or memory.
const MAX_CONCURRENCY: u32 = 10_000;
const MAX_CONNECTIONS: u32 = 1_000;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("source").required(true).args(["names", "names_from"]))]
pub(crate) struct HelloArgs {
    /// Name to greet; repeat for several, answered in this order
    #[arg(long = "name", value_name = "NAME", allow_hyphen_values = true)]
    names: Vec<String>,

    /// File with one name per line (- is standard input); an empty line is an empty name
    #[arg(long, value_name = "FILE")]
    names_from: Option<PathBuf>,

    /// Calls for each name
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = "names_from")]
    #[arg(value_parser = count)]
    count: NonZeroU64,

    /// Maximum concurrent calls [default: 100; with --names-from: 200]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_CONCURRENCY))]
    concurrency: Option<u32>,

    /// Connections to each target, used in turn [default: 1; with --names-from: 2]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_CONNECTIONS))]
    connections: Option<u32>,

    /// Start no call after the first failure
    #[arg(long)]
    fail_fast: bool,
}

impl HelloArgs {
    pub(crate) fn options(self) -> BulkOptions {
        let connections = if self.names_from.is_some() { CONNECTIONS_WITH_FILE } else { 1 };
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
