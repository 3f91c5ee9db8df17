//! Flags that commands with one call for each input share.

use std::num::NonZeroU64;
use std::path::PathBuf;

use greet_flags::values::number;

use super::values::count;
use crate::bulk::{BulkOptions, Source};

/// Enough to use a server across a network, and the minimum of SETTINGS_MAX_CONCURRENT_STREAMS that
/// RFC 9113 recommends.
const DEFAULT_CONCURRENCY: u32 = 100;
/// For inputs from a file: on one connection client and server wait for each other, and the server
/// uses one core only.
const CONNECTIONS_WITH_FILE: u32 = 2;
/// Higher values are typing errors, and would exhaust file descriptors or memory.
const MAX_CONCURRENCY: u32 = 10_000;
const MAX_CONNECTIONS: u32 = 1_000;

/// The identifier, in every command, of the flag that names a file with inputs.
pub(super) const FILE: &str = "file";

#[derive(Debug, clap::Args)]
pub(crate) struct BulkArgs {
    /// Calls for each request
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = FILE)]
    #[arg(value_parser = count)]
    count: NonZeroU64,

    /// Maximum concurrent calls [default: 100; with a file: 200]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_CONCURRENCY))]
    concurrency: Option<u32>,

    /// Connections to each target, used in turn [default: 1; with a file: 2]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_CONNECTIONS))]
    connections: Option<u32>,

    /// Start no call after the first failure
    #[arg(long)]
    fail_fast: bool,
}

impl BulkArgs {
    /// Returns the options for the inputs of a file, or else for typed ones.
    pub(super) fn options(&self, file: Option<PathBuf>, inputs: Vec<String>) -> BulkOptions {
        let connections = if file.is_some() { CONNECTIONS_WITH_FILE } else { 1 };
        let concurrency = self.concurrency.unwrap_or(connections * DEFAULT_CONCURRENCY);
        BulkOptions {
            concurrency: concurrency as usize,
            connections: self.connections.unwrap_or(connections) as usize,
            fail_fast: self.fail_fast,
            with_tally: self.count.get() > 1,
            source: match file {
                Some(file) => Source::File(file),
                None => Source::Typed { inputs, count: self.count },
            },
        }
    }
}
