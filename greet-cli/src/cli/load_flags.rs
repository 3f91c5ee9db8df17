//! `load`: how much, for how long, and what must not be crossed.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgGroup;

use super::values::{count, duration, number, rate, timeout};
use crate::load::{LoadNames, LoadOptions, Shape, Threshold, Until};

const DEFAULT_NAME: &str = "Ada";
/// Ten calls on each of ten connections: enough to keep one core of a fast server at work.
const DEFAULT_CONNECTIONS: &str = "10";
const DEFAULT_CONCURRENCY: u32 = 100;
/// With a rate it is a bound, not the load: twenty thousand calls a second of 50 ms each.
const CONCURRENCY_WITH_RATE: u32 = 1_000;
/// Long enough for a first impression.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// Until a server has its buffers, and a runtime with a compiler has compiled.
const DEFAULT_WARM_UP: Duration = Duration::from_secs(1);
/// What a process may open, and a machine answer.
const MAX_CONCURRENCY: u32 = 100_000;
const MAX_CONNECTIONS: u32 = 10_000;
const MAX_THREADS: u32 = 1_024;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("whom").args(["names", "names_from", "seed"]))]
pub(crate) struct LoadArgs {
    /// Calls under way at a time; with --rate at most so many [default: 100, with --rate 1000]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_CONCURRENCY))]
    concurrency: Option<u32>,

    /// Connections to each target that calls go over in turn
    #[arg(long, value_name = "N", default_value = DEFAULT_CONNECTIONS)]
    #[arg(value_parser = number(1..=MAX_CONNECTIONS))]
    connections: u32,

    /// Begin so many calls a second, however long each takes; latency counts from when it was due
    #[arg(long, value_name = "PER SECOND", value_parser = rate)]
    rate: Option<f64>,

    /// Measure for so long [default: 10s]
    #[arg(long, value_name = "DUR", conflicts_with = "count", value_parser = timeout)]
    duration: Option<Duration>,

    /// Measure so many calls
    #[arg(long, value_name = "N", value_parser = count)]
    count: Option<NonZeroU64>,

    /// Load that comes first and is left out of every figure [default: 1s, with --count 0s]
    #[arg(long, value_name = "DUR", conflicts_with = "count", value_parser = duration)]
    warm_up: Option<Duration>,

    /// Threads to call from [default: one for each core that there is, no more than --connections]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_THREADS))]
    threads: Option<u32>,

    /// Whom to greet; repeat for more, in turn [default: Ada]
    #[arg(long = "name", value_name = "NAME", allow_hyphen_values = true)]
    names: Vec<String>,

    /// Greet the lines of a file, or of standard input if it is -, in turn
    #[arg(long, value_name = "FILE|-")]
    names_from: Option<PathBuf>,

    /// Greet random names, the same for the same seed
    #[arg(long, value_name = "N", value_parser = number(0..=u64::MAX))]
    seed: Option<u64>,

    /// Exit with 5 if this holds at the end: p99>20ms, error-rate>0.1%, rps<5000; repeat for more. What can be
    /// compared (>, >=, <, <=): min, mean, max, p50, p99.9, …, error-rate, errors, rps
    #[arg(long, value_name = "RULE")]
    fail_if: Vec<Threshold>,

    /// Write a page with plots to this file, which opens without a network
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
                // A thread without a connection, or without a call, would have nothing to do.
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
