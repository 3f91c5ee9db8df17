//! What is to be done, and each worker's share of it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use greet_proto::HelloRequest;
use greet_proto::framing::frame;

use crate::bulk::BYTE_ORDER_MARK;
use crate::client::{CallOptions, Client};
use crate::connect::Target;

/// Random names that are made ahead, and then greeted in turn.
const RANDOM_NAMES: usize = 4_096;
const MAX_RANDOM_NAME: usize = 16;
/// Names that are read are kept; so much of them is more than a load test can tell apart.
const MAX_NAMES_BYTES: u64 = 64 * 1024 * 1024;

/// A load test.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(super) targets: Vec<Target>,
    pub(super) call_options: CallOptions,
    /// Messages to send in turn, with their prefixes.
    pub(super) messages: Arc<[Bytes]>,
    pub(super) shape: Shape,
}

/// Where the names to greet come from.
#[derive(Debug)]
pub(crate) enum LoadNames {
    Typed(Vec<String>),
    /// A line each; `-` is standard input.
    File(PathBuf),
    Random {
        seed: u64,
    },
}

/// How much load, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) concurrency: u32,
    pub(crate) connections: u32,
    pub(crate) threads: u32,
    /// Calls a second that are due; without it the next call begins when one has ended.
    pub(crate) rate: Option<f64>,
    pub(crate) until: Until,
    pub(crate) warm_up: Duration,
}

/// When it is enough.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    Calls(u64),
}

/// What one worker does of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) worker: u32,
    pub(super) concurrency: u32,
    pub(super) connections: u32,
    /// Calls a second, and how far the first is behind the first of all.
    pub(super) rate: Option<(f64, Duration)>,
    pub(super) until: Until,
}

impl Plan {
    /// # Errors
    /// The names cannot be read, or there are none.
    pub(crate) fn new(
        names: &LoadNames,
        shape: Shape,
        targets: Vec<Target>,
        call_options: CallOptions,
    ) -> anyhow::Result<Plan> {
        let (call_options, messages) = (call_options.without_deadline(), messages(names)?);
        Ok(Plan { targets, call_options, messages, shape })
    }

    /// A client for one worker; for its thread alone.
    pub(super) fn client(&self, share: Share) -> Rc<Client> {
        Rc::new(Client::new(self.call_options.clone(), &self.targets, share.connections as usize))
    }

    /// One for each thread; together they are the whole.
    pub(super) fn shares(&self) -> impl Iterator<Item = Share> {
        let shape = self.shape;
        let threads = u64::from(shape.threads);
        (0..shape.threads).map(move |worker| {
            let part = |whole: u32| {
                u32::try_from(part(whole.into(), threads, worker.into())).unwrap_or(whole)
            };
            Share {
                worker,
                concurrency: part(shape.concurrency),
                connections: part(shape.connections),
                rate: shape.rate.map(|rate| {
                    let behind = Duration::from_secs_f64(f64::from(worker) / rate);
                    (rate / f64::from(shape.threads), behind)
                }),
                until: match shape.until {
                    Until::Calls(calls) => Until::Calls(self::part(calls, threads, worker.into())),
                    elapsed @ Until::Elapsed(_) => elapsed,
                },
            }
        })
    }
}

/// What falls to one of `parts`; the first get what is left over.
fn part(whole: u64, parts: u64, index: u64) -> u64 {
    whole / parts + u64::from(index < whole % parts)
}

fn messages(names: &LoadNames) -> anyhow::Result<Arc<[Bytes]>> {
    let hello = |name: String| Bytes::from(frame(&HelloRequest { name }));
    let from = match names {
        LoadNames::Typed(names) => return Ok(names.iter().cloned().map(hello).collect()),
        LoadNames::Random { seed } => {
            let mut random = fastrand::Rng::with_seed(*seed);
            return Ok((0..RANDOM_NAMES).map(|_| hello(random_name(&mut random))).collect());
        }
        LoadNames::File(from) => from,
    };
    let names = match from.as_path() {
        dash if dash == Path::new("-") => read_names(std::io::stdin()),
        file => File::open(file).context("could not open it").and_then(read_names),
    };
    let names = names.with_context(|| format!("could not read names of `{}`", from.display()))?;
    Ok(names.into_iter().map(hello).collect())
}

fn read_names(from: impl Read) -> anyhow::Result<Vec<String>> {
    let mut from = BufReader::new(from.take(MAX_NAMES_BYTES + 1));
    if from.fill_buf()?.starts_with(BYTE_ORDER_MARK.as_bytes()) {
        from.consume(BYTE_ORDER_MARK.len());
    }
    let (mut names, mut bytes) = (Vec::new(), 0);
    loop {
        let mut line = Vec::new();
        bytes += from.read_until(b'\n', &mut line)? as u64;
        if bytes > MAX_NAMES_BYTES {
            bail!("it is longer than {MAX_NAMES_BYTES} bytes");
        }
        if line.is_empty() {
            break;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let number = names.len() + 1;
        let name = std::str::from_utf8(line).with_context(|| format!("line {number}"))?;
        names.push(name.to_owned());
    }
    if names.is_empty() {
        bail!("it is empty");
    }
    Ok(names)
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
        assert_eq!(read_names(&b"Ada\n\xff\n"[..]).unwrap_err().to_string(), "line 2");
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
