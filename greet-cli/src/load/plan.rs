//! Plans a load test and divides it into shares for the workers.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;

use crate::bulk::{self, BYTE_ORDER_MARK};
use crate::client::CallOptions;
use crate::connect::Target;
use crate::method::Method;

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
    /// Fails if the inputs are not readable, or not requests.
    pub(crate) fn new(
        method: Arc<dyn Method>,
        inputs: LoadInputs,
        shape: Shape,
        targets: Vec<Target>,
        call_options: CallOptions,
    ) -> anyhow::Result<Plan> {
        let call_options =
            CallOptions { overall_deadline: None, keeps_requests: false, ..call_options };
        let requests = requests(method.as_ref(), inputs)?;
        Ok(Plan { targets, call_options, method, requests, shape })
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
