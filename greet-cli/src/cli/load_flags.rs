//! Flags of `load`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgGroup;
use greet_flags::values::{duration, number, timeout};

use super::values::{count, rate};
use crate::load::{LoadNames, LoadOptions, Shape, Threshold, Until};

const DEFAULT_NAME: &str = "Ada";
/// With ten calls on each, enough to saturate one core of a fast server.
const DEFAULT_CONNECTIONS: &str = "10";
const DEFAULT_CONCURRENCY: u32 = 100;
/// A bound, because the rate determines the load: 20 000 calls per second of 50 ms each.
const CONCURRENCY_WITH_RATE: u32 = 1_000;
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// Until a server has allocated its buffers, and a JIT compiler has compiled its code.
const DEFAULT_WARM_UP: Duration = Duration::from_secs(1);
/// Higher values are typing errors, and would exhaust file descriptors or memory.
const MAX_CONCURRENCY: u32 = 100_000;
const MAX_CONNECTIONS: u32 = 10_000;
const MAX_THREADS: u32 = 1_024;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("source").args(["names", "names_from", "seed"]))]
pub(crate) struct LoadArgs {
    /// Concurrent calls; with --rate the maximum [default: 100; with --rate: 1000]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_CONCURRENCY))]
    concurrency: Option<u32>,

    /// Connections to each target, used in turn
    #[arg(long, value_name = "N", default_value = DEFAULT_CONNECTIONS)]
    #[arg(value_parser = number(1..=MAX_CONNECTIONS))]
    connections: u32,

    /// Start N calls per second regardless of completion (open loop); latency counts from the scheduled start
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,

    /// Duration of the measurement [default: 10s]
    #[arg(long, value_name = "DUR", conflicts_with = "count", value_parser = timeout)]
    duration: Option<Duration>,

    /// Number of calls to measure, instead of a duration
    #[arg(long, value_name = "N", value_parser = count)]
    count: Option<NonZeroU64>,

    /// Load before the measurement, excluded from all figures [default: 1s; with --count: 0s]
    #[arg(long, value_name = "DUR", conflicts_with = "count", value_parser = duration)]
    warm_up: Option<Duration>,

    /// Threads that send calls [default: number of cores, at most --connections]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_THREADS))]
    threads: Option<u32>,

    /// Name to greet; repeat for several, used in turn [default: Ada]
    #[arg(long = "name", value_name = "NAME", allow_hyphen_values = true)]
    names: Vec<String>,

    /// File with one name per line (- is standard input), used in turn
    #[arg(long, value_name = "FILE")]
    names_from: Option<PathBuf>,

    /// Greet random names; the same seed gives the same names
    #[arg(long, value_name = "N", value_parser = number(0..=u64::MAX))]
    seed: Option<u64>,

    /// Exit with 5 if the rule is true at the end: p99>20ms, error-rate>0.1%, rps<5000; metrics: min, mean, max, p50, p99.9, ..., error-rate, errors, rps; operators: > >= < <=; repeat for several
    #[arg(long, value_name = "RULE")]
    fail_if: Vec<Threshold>,

    /// Write a self-contained HTML report with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl LoadArgs {
    pub(crate) fn options(self) -> LoadOptions {
        let (until, warm_up) = match self.count {
            Some(calls) => (Until::Calls(calls.get()), Duration::ZERO),
            None => (Until::Elapsed(self.duration.unwrap_or(DEFAULT_DURATION)), DEFAULT_WARM_UP),
        };
        let default = self.rate.map_or(DEFAULT_CONCURRENCY, |_| CONCURRENCY_WITH_RATE);
        let concurrency = self.concurrency.unwrap_or(default);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or(u32::try_from(cores).unwrap_or(u32::MAX));
        LoadOptions {
            names: match (self.names_from, self.seed) {
                (Some(file), _) => LoadNames::File(file),
                (None, Some(seed)) => LoadNames::Random { seed },
                (None, None) if self.names.is_empty() => {
                    LoadNames::Typed(vec![DEFAULT_NAME.to_owned()])
                }
                (None, None) => LoadNames::Typed(self.names),
            },
            shape: Shape {
                concurrency,
                connections: self.connections,
                // A thread needs a connection and a call.
                threads: threads.min(self.connections).min(concurrency),
                rate: self.rate,
                until,
                warm_up: self.warm_up.unwrap_or(warm_up),
            },
            thresholds: self.fail_if,
            html: self.html,
        }
    }
}
