//! Flags of `load`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use greet_flags::values::{duration, number, timeout};

use super::call_flags::{MethodParser, valid_requests};
use super::values::{count, rate};
use crate::load::{LoadInputs, LoadOptions, Shape, Threshold, Until};
use crate::method::{JsonMethod, Method};

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

    /// Unary method: package.Service/Method, or a unique end of it
    #[arg(value_name = "METHOD", value_parser = MethodParser, hide_possible_values = true)]
    method: Option<JsonMethod>,

    /// Request in the JSON mapping of protobuf; repeat for several, used in turn [default: {}]
    #[arg(long, value_name = "JSON")]
    json: Vec<String>,

    /// File with one request per line (- is standard input), used in turn
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    json_from: Option<PathBuf>,

    // <greeter>
    #[command(flatten)]
    names: super::name_flags::LoadNameArgs,
    // </greeter>
    /// Exit with 5 if the rule is true at the end: p99>20ms, error-rate>0.1%, rps<5000; metrics: min, mean, max, p50, p99.9, ..., error-rate, errors, rps; operators: > >= < <=; repeat for several
    #[arg(long, value_name = "RULE")]
    fail_if: Vec<Threshold>,

    /// Write a self-contained HTML report with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl LoadArgs {
    /// Fails with the place and the reason if a request is not valid.
    pub(crate) fn options(self) -> Result<LoadOptions, String> {
        let (until, warm_up) = match self.count {
            Some(calls) => (Until::Calls(calls.get()), Duration::ZERO),
            None => (Until::Elapsed(self.duration.unwrap_or(DEFAULT_DURATION)), DEFAULT_WARM_UP),
        };
        let default = self.rate.map_or(DEFAULT_CONCURRENCY, |_| CONCURRENCY_WITH_RATE);
        let concurrency = self.concurrency.unwrap_or(default);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or(u32::try_from(cores).unwrap_or(u32::MAX));
        let shape = Shape {
            concurrency,
            connections: self.connections,
            // A thread needs a connection and a call.
            threads: threads.min(self.connections).min(concurrency),
            rate: self.rate,
            until,
            warm_up: self.warm_up.unwrap_or(warm_up),
        };
        let (thresholds, html) = (self.fail_if.clone(), self.html.clone());
        let (method, inputs) = self.method_and_inputs()?;
        Ok(LoadOptions { method, inputs, shape, thresholds, html })
    }

    fn method_and_inputs(self) -> Result<(Arc<dyn Method>, LoadInputs), String> {
        // <greeter>
        if self.method.is_none() && self.json.is_empty() && self.json_from.is_none() {
            return Ok((Arc::new(crate::method::SayHello::new()), self.names.inputs()));
        }
        // </greeter>
        let method = self.method.unwrap_or_else(JsonMethod::default_method);
        let inputs = match self.json_from {
            Some(file) => LoadInputs::File(file),
            None => LoadInputs::Typed(valid_requests(&method, self.json)?),
        };
        Ok((Arc::new(method), inputs))
    }
}
