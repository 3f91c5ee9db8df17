//! What a worker counts of its calls, by method and by status, with the names of gRFC A66.

use std::sync::OnceLock;

use tonic::Code;

use super::counter::Counter;
use super::histogram::{Distribution, Histogram, LATENCY_NANOS, MESSAGE_BYTES};
use crate::grpc::Method;

/// The methods that are served, and one place for all that are not: what a peer makes up never becomes
/// a label.
const METHODS: usize = Method::ALL.len() + 1;
/// The published codes, OK to UNAUTHENTICATED.
const CODES: usize = 17;

/// One worker's calls.
#[derive(Debug, Default)]
pub(crate) struct CallStats {
    started: [Counter; METHODS],
    ended: [[OnceLock<Box<Ended>>; CODES]; METHODS],
}

/// Those that ended with the same status.
#[derive(Debug)]
struct Ended {
    nanos: Histogram,
    received_bytes: Histogram,
    sent_bytes: Histogram,
}

/// Calls of one method with one status, of all workers.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) method: Option<Method>,
    pub(crate) code: Code,
    pub(crate) nanos: Distribution,
    pub(crate) received_bytes: Distribution,
    pub(crate) sent_bytes: Distribution,
}

impl CallStats {
    /// `None`: a method that is not served.
    pub(crate) fn began(&self, method: Option<Method>) {
        self.started[place(method)].add(1);
    }

    /// Bytes are those of messages, as they were on the wire, without what frames them.
    pub(crate) fn ended(
        &self,
        method: Option<Method>,
        code: Code,
        nanos: u64,
        [received_bytes, sent_bytes]: [u64; 2],
    ) {
        let ended = self.ended[place(method)][code as usize].get_or_init(|| {
            Box::new(Ended {
                nanos: Histogram::new(&LATENCY_NANOS),
                received_bytes: Histogram::new(&MESSAGE_BYTES),
                sent_bytes: Histogram::new(&MESSAGE_BYTES),
            })
        });
        ended.nanos.observe(nanos);
        ended.received_bytes.observe(received_bytes);
        ended.sent_bytes.observe(sent_bytes);
    }

    pub(crate) fn started(&self, method: Option<Method>) -> u64 {
        self.started[place(method)].get()
    }

    pub(crate) fn started_in_all(&self) -> u64 {
        self.started.iter().map(Counter::get).sum()
    }
}

/// Every method, served or not.
pub(crate) fn methods() -> impl Iterator<Item = Option<Method>> {
    Method::ALL.into_iter().map(Some).chain([None])
}

/// All that there were, added up over the workers; what never happened is left out.
pub(crate) fn sums<'a>(
    workers: impl Iterator<Item = &'a CallStats> + Clone,
) -> impl Iterator<Item = Calls> {
    let kinds =
        methods().flat_map(|method| (0..17).map(move |code| (method, Code::from_i32(code))));
    kinds.filter_map(move |(method, code)| {
        let mut calls = Calls {
            method,
            code,
            nanos: Distribution::new(&LATENCY_NANOS),
            received_bytes: Distribution::new(&MESSAGE_BYTES),
            sent_bytes: Distribution::new(&MESSAGE_BYTES),
        };
        for worker in workers.clone() {
            if let Some(ended) = worker.ended[place(method)][code as usize].get() {
                calls.nanos.add(&ended.nanos);
                calls.received_bytes.add(&ended.received_bytes);
                calls.sent_bytes.add(&ended.sent_bytes);
            }
        }
        (calls.nanos.count() > 0).then_some(calls)
    })
}

fn place(method: Option<Method>) -> usize {
    method.map_or(METHODS - 1, |method| method as usize)
}
