//! Plans a load test and divides it into shares for the workers.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use greet_proto::framing::frame;
use greet_proto::greet::HelloRequest;

use crate::bulk::{self, BYTE_ORDER_MARK};
use crate::client::CallOptions;
use crate::connect::Target;

/// Number of random names, which are sent in turn.
const RANDOM_NAMES: usize = 4_096;
const MAX_RANDOM_NAME: usize = 16;
/// Maximum size of a file of names, which are kept in memory.
const MAX_NAMES_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(super) targets: Vec<Target>,
    pub(super) call_options: CallOptions,
    /// Framed messages, which are sent in turn.
    pub(super) messages: Arc<[Bytes]>,
    pub(super) shape: Shape,
}

#[derive(Debug)]
pub(crate) enum LoadNames {
    Typed(Vec<String>),
    /// A file with one name a line; `-` is standard input.
    File(PathBuf),
    Random {
        seed: u64,
    },
}

/// The amount of load and its duration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) concurrency: u32,
    pub(crate) connections: u32,
    pub(crate) threads: u32,
    /// Calls per second (open loop); without it a call starts when another ends (closed loop).
    pub(crate) rate: Option<f64>,
    pub(crate) until: Until,
    pub(crate) warm_up: Duration,
}

/// The end of a load test.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    Calls(u64),
}

/// The share of one worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) worker: u32,
    pub(super) concurrency: u64,
    pub(super) connections: u64,
    /// Calls per second, and the delay of the worker's first call.
    pub(super) rate: Option<(f64, Duration)>,
    pub(super) until: Until,
}

impl Plan {
    /// Fails if the names are not readable.
    pub(crate) fn new(
        names: &LoadNames,
        shape: Shape,
        targets: Vec<Target>,
        call_options: CallOptions,
    ) -> anyhow::Result<Plan> {
        let call_options =
            CallOptions { overall_deadline: None, keeps_requests: false, ..call_options };
        Ok(Plan { targets, call_options, messages: messages(names)?, shape })
    }

    pub(super) fn shares(&self) -> impl Iterator<Item = Share> {
        let Shape { concurrency, connections, threads, rate, until, .. } = self.shape;
        (0..threads).map(move |worker| {
            let part = |whole| part(whole, threads.into(), worker.into());
            Share {
                worker,
                concurrency: part(concurrency.into()),
                connections: part(connections.into()),
                rate: rate.map(|rate| {
                    let delay = Duration::from_secs_f64(f64::from(worker) / rate);
                    (rate / f64::from(threads), delay)
                }),
                until: match until {
                    Until::Calls(calls) => Until::Calls(part(calls)),
                    Until::Elapsed(_) => until,
                },
            }
        })
    }
}

/// Returns the size of a part; the first parts include the remainder.
fn part(whole: u64, parts: u64, index: u64) -> u64 {
    whole / parts + u64::from(index < whole % parts)
}

fn messages(names: &LoadNames) -> anyhow::Result<Arc<[Bytes]>> {
    let names = match names {
        LoadNames::Typed(names) => names.clone(),
        LoadNames::Random { seed } => {
            let mut random = fastrand::Rng::with_seed(*seed);
            (0..RANDOM_NAMES).map(|_| random_name(&mut random)).collect()
        }
        LoadNames::File(path) => bulk::open(path)
            .map_err(anyhow::Error::from)
            .and_then(read_names)
            .with_context(|| format!("could not read `{}`", path.display()))?,
    };
    Ok(names.into_iter().map(|name| frame(&HelloRequest { name }).into()).collect())
}

fn read_names(from: impl Read) -> anyhow::Result<Vec<String>> {
    let mut bytes = Vec::new();
    from.take(MAX_NAMES_BYTES + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MAX_NAMES_BYTES, "longer than {MAX_NAMES_BYTES} bytes");
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        anyhow!("line {}: not UTF-8", valid.iter().filter(|byte| **byte == b'\n').count() + 1)
    })?;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
    ensure!(!text.is_empty(), "it is empty");
    Ok(text.lines().map(str::to_owned).collect())
}

fn random_name(random: &mut fastrand::Rng) -> String {
    let rest = random.usize(1..MAX_RANDOM_NAME);
    let first = std::iter::once(random.uppercase());
    first.chain(std::iter::repeat_with(|| random.lowercase()).take(rest)).collect()
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
    fn names_are_lines_and_at_least_one_is_required() {
        assert_eq!(read_names(&b"Ada\r\n\nlast"[..]).unwrap(), ["Ada", "", "last"]);
        assert_eq!(read_names("\u{feff}Ada".as_bytes()).unwrap(), ["Ada"]);
        assert_eq!(read_names(&b""[..]).unwrap_err().to_string(), "it is empty");
        assert_eq!(read_names(&b"Ada\n\xff\n"[..]).unwrap_err().to_string(), "line 2: not UTF-8");
        let long = vec![b'x'; usize::try_from(MAX_NAMES_BYTES).unwrap()];
        assert!(read_names(&long[..]).is_ok());
        assert!(read_names(&[&long[..], b"x"].concat()[..]).is_err());
    }

    #[test]
    fn same_seed_gives_same_random_names() {
        let names = |seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            (0..100).map(|_| random_name(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(names(7), names(7));
        assert_ne!(names(7), names(8));
        assert!(names(7).iter().all(|name| (2..=MAX_RANDOM_NAME).contains(&name.len())));
    }
}
