//! Flags of `load`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use greet_flags::values::{duration, number, timeout};

use super::call_flags::{MethodParser, valid_requests};
use super::values::{RateValue, count, rate, rate_or_range};
use crate::load::{Arrivals, LoadInputs, LoadOptions, Rate, RateRange, Shape, Threshold, Until};
use crate::method::{JsonMethod, Method};

/// With ten calls on each, enough to saturate one core of a fast server.
const DEFAULT_CONNECTIONS: &str = "10";
const DEFAULT_CONCURRENCY: u32 = 100;
/// A bound, because the rate determines the load: 20 000 calls per second of 50 ms each.
const CONCURRENCY_WITH_RATE: u32 = 1_000;
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// Until a server has allocated its buffers, and a JIT compiler has compiled its code.
const DEFAULT_WARM_UP: Duration = Duration::from_secs(1);
/// Of a range. Percentiles are stable, and the queue of a server that does not keep up is long.
const DEFAULT_HOLD: Duration = Duration::from_secs(5);
/// Of a range; the table of a dozen runs fits a screen, and takes a minute.
const DEFAULT_STEP_SHARE: f64 = 0.1;
/// Of a range, with --find; two runs differ by more.
const DEFAULT_RESOLUTION_SHARE: f64 = 0.01;
/// Maximum rates of a range: more are typing errors, and take hours.
const MAX_RATES: u32 = 1_000;
const DEFAULT_SEED: u64 = 0;
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

    /// Start N calls per second regardless of completion (open loop); latency counts from the scheduled start; A..B makes a run at each rate until one is not sustained
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = rate_or_range)]
    rate: Option<RateValue>,

    /// Difference of the rates of a range [default: 10% of the range; with --find: 1%]
    #[arg(long, value_name = "N", value_parser = rate)]
    step: Option<f64>,

    /// Duration of each run of a range [default: 5s]
    #[arg(long, value_name = "DUR", value_parser = timeout)]
    hold: Option<Duration>,

    /// Find the highest rate of a range at which no call fails and the rule is true, such as p99<20ms; exit with 5 if there is none
    #[arg(long, value_name = "RULE", value_parser = find_rule)]
    find: Option<Threshold>,

    /// Gaps between the calls of --rate: equal, or those of many independent clients [default: uniform]
    #[arg(long, value_name = "KIND")]
    arrivals: Option<ArrivalsValue>,

    /// Seed of the gaps of --arrivals poisson (0 without it)
    // <greeter>
    /// and, without METHOD and names, of random names to greet
    // </greeter>
    #[arg(long, value_name = "N", value_parser = number(0..=u64::MAX))]
    seed: Option<u64>,

    /// Duration of the measurement [default: 10s]
    #[arg(long, value_name = "DUR", conflicts_with = "count", value_parser = timeout)]
    duration: Option<Duration>,

    /// Number of calls to measure, instead of a duration
    #[arg(long, value_name = "N", value_parser = count)]
    count: Option<NonZeroU64>,

    /// Load before the measurement, and before each run of a range; excluded from all figures [default: 1s; with --count: 0s]
    #[arg(long, value_name = "DUR", value_parser = duration)]
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
    /// Exit with 5 if the rule is true at the end: p99>20ms, error-rate>0.1%, rps<5000, with --baseline also p99>+10%; metrics: min, mean, max, p50, p99.9, ..., error-rate, errors, rps; operators: > >= < <=; repeat for several
    #[arg(long, value_name = "RULE")]
    fail_if: Vec<Threshold>,

    /// Compare with an earlier load test: a file that --output json printed; the load must be equal
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Write a self-contained HTML report with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The values of --arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ArrivalsValue {
    Uniform,
    Poisson,
}

/// Parses a rule that is true at low rates.
fn find_rule(given: &str) -> Result<Threshold, String> {
    let rule: Threshold = given.parse()?;
    // A change from a baseline is no bound.
    if rule.has_upper_bound() && !rule.is_relative() {
        return Ok(rule);
    }
    Err(format!("{given:?} is not a rule that is true at low rates such as p99<20ms or max<=1s"))
}

impl LoadArgs {
    /// Fails with the place and the reason if flags contradict each other, or a request is not valid.
    pub(crate) fn options(self) -> Result<LoadOptions, String> {
        let rate = self.rate()?;
        let (until, warm_up) = match (self.count, rate) {
            (Some(calls), _) => (Until::Calls(calls.get()), Duration::ZERO),
            (None, Some(Rate::Range(_))) => {
                (Until::Elapsed(self.hold.unwrap_or(DEFAULT_HOLD)), DEFAULT_WARM_UP)
            }
            (None, _) => {
                (Until::Elapsed(self.duration.unwrap_or(DEFAULT_DURATION)), DEFAULT_WARM_UP)
            }
        };
        let default = rate.map_or(DEFAULT_CONCURRENCY, |_| CONCURRENCY_WITH_RATE);
        let concurrency = self.concurrency.unwrap_or(default);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or(u32::try_from(cores).unwrap_or(u32::MAX));
        let shape = Shape {
            concurrency,
            connections: self.connections,
            // A thread needs a connection and a call.
            threads: threads.min(self.connections).min(concurrency),
            rate,
            arrivals: self.arrivals()?,
            until,
            warm_up: self.warm_up.unwrap_or(warm_up),
        };
        let (thresholds, find) = (self.fail_if.clone(), self.find.clone());
        let (baseline, html) = (self.baseline.clone(), self.html.clone());
        if let (None, Some(rule)) = (&baseline, thresholds.iter().find(|rule| rule.is_relative())) {
            return Err(format!("--fail-if: '{rule}' is relative and needs --baseline FILE"));
        }
        if baseline.is_some() && matches!(rate, Some(Rate::Range(_))) {
            return Err("--baseline: cannot be used with a range of rates".to_owned());
        }
        let (method, inputs) = self.method_and_inputs()?;
        Ok(LoadOptions { method, inputs, shape, thresholds, find, baseline, html })
    }

    /// Fails if --rate is not a range and others of its flags need one, or the other way round.
    fn rate(&self) -> Result<Option<Rate>, String> {
        let fixed = match self.rate {
            Some(RateValue::Range(from, to)) => return self.range(from, to).map(Some),
            Some(RateValue::Fixed(rate)) => Some(Rate::Fixed(rate)),
            None => None,
        };
        let needs_range = [
            ("step", self.step.is_some()),
            ("hold", self.hold.is_some()),
            ("find", self.find.is_some()),
        ];
        match needs_range.iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => {
                Err(format!("--{flag}: needs a range of rates such as --rate 1000..20000"))
            }
            None => Ok(fixed),
        }
    }

    /// Fails if others of its flags exclude a range.
    fn range(&self, from: f64, to: f64) -> Result<Rate, String> {
        if self.duration.is_some() {
            return Err("--duration: each run of a range of rates takes --hold".to_owned());
        }
        if self.count.is_some() {
            return Err("--count: cannot be used with a range of rates".to_owned());
        }
        let share = self.find.as_ref().map_or(DEFAULT_STEP_SHARE, |_| DEFAULT_RESOLUTION_SHARE);
        let range = RateRange { from, to, step: self.step.unwrap_or((to - from) * share) };
        match range.len() {
            rates if rates > MAX_RATES => {
                Err(format!("--step: the range has more than {MAX_RATES} rates"))
            }
            _ => Ok(Rate::Range(range)),
        }
    }

    fn arrivals(&self) -> Result<Arrivals, String> {
        match self.arrivals {
            Some(_) if self.rate.is_none() => Err("--arrivals: needs --rate".to_owned()),
            Some(ArrivalsValue::Poisson) => {
                Ok(Arrivals::Poisson { seed: self.seed.unwrap_or(DEFAULT_SEED) })
            }
            // <greeter>
            _ if self.has_only_names() && self.names.is_default() => Ok(Arrivals::Uniform),
            // </greeter>
            _ if self.seed.is_some() => {
                Err("--seed: has no effect without --arrivals poisson".to_owned())
            }
            _ => Ok(Arrivals::Uniform),
        }
    }

    // <greeter>
    /// Returns whether it greets names and calls no other method.
    fn has_only_names(&self) -> bool {
        self.method.is_none() && self.json.is_empty() && self.json_from.is_none()
    }
    // </greeter>

    fn method_and_inputs(self) -> Result<(Arc<dyn Method>, LoadInputs), String> {
        // <greeter>
        if self.has_only_names() {
            return Ok((Arc::new(crate::method::SayHello::new()), self.names.inputs(self.seed)));
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
