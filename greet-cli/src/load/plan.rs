//! Plans a load test and divides it into shares for the workers.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use tokio::time::Instant;

use super::baseline::Load;
use super::schedule::Schedule;
use super::thresholds::Threshold;
use crate::bulk::{self, BYTE_ORDER_MARK};
use crate::client::CallOptions;
use crate::connect::Target;
use crate::method::{Method, name};

/// Maximum size of a file of requests, which are kept in memory.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(super) targets: Vec<Target>,
    pub(super) call_options: CallOptions,
    pub(super) method: Arc<dyn Method>,
    /// Requests with their prefixes, which are sent in turn.
    pub(super) requests: Arc<[Bytes]>,
    pub(super) shape: Shape,
    /// The rule that a search for a rate satisfies; needs a range of rates.
    pub(super) find: Option<Threshold>,
}

/// The inputs of the requests.
#[derive(Debug)]
pub(crate) enum LoadInputs {
    Typed(Vec<String>),
    /// A file with one input a line; `-` is standard input.
    File(PathBuf),
}

/// The amount of load and its duration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) concurrency: u32,
    pub(crate) connections: u32,
    pub(crate) threads: u32,
    /// Calls per second (open loop); without it a call starts when another ends (closed loop).
    pub(crate) rate: Option<Rate>,
    pub(crate) arrivals: Arrivals,
    /// The end of each run.
    pub(crate) until: Until,
    /// Load before each run.
    pub(crate) warm_up: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Rate {
    /// One run.
    Fixed(f64),
    /// A run for each rate.
    Range(RateRange),
}

/// Rates from the lowest to the highest, which differ by `step`; the last difference may be smaller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateRange {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) step: f64,
}

/// The gaps between calls at a rate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arrivals {
    Uniform,
    /// Exponential gaps, as of many independent clients.
    Poisson {
        seed: u64,
    },
}

/// The end of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    Calls(u64),
}

/// A run of the load, on the connections of the run before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Counted from 1.
    pub(super) number: u32,
    pub(super) rate: Option<f64>,
    pub(super) until: Until,
    /// The first call.
    pub(super) begin: Instant,
    /// The first call that is measured.
    pub(super) measure: Instant,
}

/// The share of one worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) worker: u32,
    pub(super) concurrency: u64,
    pub(super) connections: u64,
    workers: u32,
}

impl Plan {
    /// Fails if the inputs are not readable, or not requests.
    pub(crate) fn new(
        method: Arc<dyn Method>,
        inputs: LoadInputs,
        shape: Shape,
        targets: Vec<Target>,
        call_options: CallOptions,
        find: Option<Threshold>,
    ) -> anyhow::Result<Plan> {
        let call_options =
            CallOptions { overall_deadline: None, keeps_requests: false, ..call_options };
        let requests = requests(method.as_ref(), inputs)?;
        Ok(Plan { targets, call_options, method, requests, shape, find })
    }

    /// Returns the load that a baseline must match.
    pub(crate) fn load(&self) -> Load {
        let shape = self.shape;
        Load {
            method: name(self.method.as_ref()).to_owned(),
            loop_name: shape.loop_name().to_owned(),
            rate_per_s: match shape.rate {
                Some(Rate::Fixed(rate)) => Some(rate),
                Some(Rate::Range(_)) | None => None,
            },
            arrivals: shape.arrivals_name().map(str::to_owned),
            concurrency: shape.concurrency,
            connections: shape.connections,
        }
    }

    pub(super) fn shares(&self) -> impl Iterator<Item = Share> {
        let Shape { concurrency, connections, threads, .. } = self.shape;
        (0..threads).map(move |worker| {
            let part = |whole: u32| part(whole.into(), threads.into(), worker.into());
            let (concurrency, connections) = (part(concurrency), part(connections));
            Share { worker, concurrency, connections, workers: threads }
        })
    }

    /// Returns whether calls rotate over servers.
    pub(super) fn has_several_servers(&self) -> bool {
        self.targets.len() > 1 || self.targets.iter().any(Target::is_per_address)
    }
}

impl Shape {
    pub(super) fn loop_name(&self) -> &'static str {
        if self.rate.is_some() { "open" } else { "closed" }
    }

    /// Returns the name of the gaps between the calls of an open loop.
    pub(super) fn arrivals_name(&self) -> Option<&'static str> {
        self.rate.map(|_| match self.arrivals {
            Arrivals::Uniform => "uniform",
            Arrivals::Poisson { .. } => "poisson",
        })
    }
}

impl RateRange {
    /// Returns the number of rates.
    pub(crate) fn len(&self) -> u32 {
        /// Of a step; a smaller remainder is an error of rounding.
        const ROUNDING: f64 = 1e-6;
        (((self.to - self.from) / self.step - ROUNDING).ceil() as u32).saturating_add(1)
    }

    /// Returns the rate with this number, counted from 0.
    pub(super) fn rate(&self, number: u32) -> f64 {
        (self.from + f64::from(number) * self.step).min(self.to)
    }
}

impl Run {
    /// Returns the time from which no call starts, if there is one.
    pub(super) fn end(&self) -> Option<Instant> {
        match self.until {
            Until::Elapsed(duration) => Some(self.measure + duration),
            Until::Calls(_) => None,
        }
    }
}

impl Share {
    /// Returns the number of calls to measure.
    pub(super) fn calls(&self, run: &Run) -> u64 {
        match run.until {
            Until::Calls(calls) => part(calls, self.workers.into(), self.worker.into()),
            Until::Elapsed(_) => u64::MAX,
        }
    }

    /// Returns the schedule of a run at a rate. The calls of all workers alternate, or are those of one
    /// Poisson process: the sum of Poisson processes is one.
    pub(super) fn schedule(&self, run: &Run, arrivals: Arrivals) -> Option<Schedule> {
        let rate = run.rate?;
        let per_second = rate / f64::from(self.workers);
        Some(match arrivals {
            Arrivals::Uniform => {
                let delay = Duration::from_secs_f64(f64::from(self.worker) / rate);
                Schedule::uniform(run.begin + delay, per_second)
            }
            Arrivals::Poisson { seed } => {
                let mut seeds = fastrand::Rng::with_seed(seed);
                (0..self.worker).for_each(|_| drop(seeds.fork()));
                Schedule::poisson(run.begin, per_second, seeds.fork())
            }
        })
    }
}

/// Returns the size of a part; the first parts include the remainder.
fn part(whole: u64, parts: u64, index: u64) -> u64 {
    whole / parts + u64::from(index < whole % parts)
}

fn requests(method: &dyn Method, inputs: LoadInputs) -> anyhow::Result<Arc<[Bytes]>> {
    let encode = |(number, input): (usize, String)| {
        method.encode(&input).map_err(|reason| anyhow!("line {number}: {reason}"))
    };
    let encode_all = |inputs: Vec<String>| (1..).zip(inputs).map(encode).collect();
    match inputs {
        LoadInputs::Typed(inputs) => encode_all(inputs),
        LoadInputs::File(path) => bulk::open(&path)
            .map_err(anyhow::Error::from)
            .and_then(read_lines)
            .and_then(encode_all)
            .with_context(|| format!("could not read `{}`", path.display())),
    }
}

fn read_lines(from: impl Read) -> anyhow::Result<Vec<String>> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MAX_FILE_BYTES, "longer than {MAX_FILE_BYTES} bytes");
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        anyhow!("line {}: not UTF-8", valid.iter().filter(|byte| **byte == b'\n').count() + 1)
    })?;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
    ensure!(!text.is_empty(), "it is empty");
    Ok(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_whole() {
        let parts = |whole, count| (0..count).map(|i| part(whole, count, i)).collect::<Vec<_>>();
        assert_eq!(parts(10, 3), [4, 3, 3]);
        assert_eq!(parts(1, 2), [1, 0]);
        assert_eq!(parts(8, 2), [4, 4]);
    }

    #[test]
    fn range_of_rates_ends_at_its_highest() {
        let rates = |from, to, step| {
            let range = RateRange { from, to, step };
            (0..range.len()).map(|number| range.rate(number)).collect::<Vec<_>>()
        };
        assert_eq!(rates(1.0, 4.0, 1.0), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(rates(1.0, 4.5, 1.0), [1.0, 2.0, 3.0, 4.0, 4.5]);
        assert_eq!(rates(1.0, 2.0, 5.0), [1.0, 2.0]);
        assert_eq!(rates(0.1, 0.7, 0.1).len(), 7, "of inexact fractions");
        assert_eq!(RateRange { from: 1.0, to: 1e8, step: 1e-3 }.len(), u32::MAX);
    }

    #[test]
    fn inputs_are_lines_and_at_least_one_is_required() {
        assert_eq!(read_lines(&b"Ada\r\n\nlast"[..]).unwrap(), ["Ada", "", "last"]);
        assert_eq!(read_lines("\u{feff}Ada".as_bytes()).unwrap(), ["Ada"]);
        assert_eq!(read_lines(&b""[..]).unwrap_err().to_string(), "it is empty");
        assert_eq!(read_lines(&b"Ada\n\xff\n"[..]).unwrap_err().to_string(), "line 2: not UTF-8");
        let long = vec![b'x'; usize::try_from(MAX_FILE_BYTES).unwrap()];
        assert!(read_lines(&long[..]).is_ok());
        assert!(read_lines(&[&long[..], b"x"].concat()[..]).is_err());
    }
}
