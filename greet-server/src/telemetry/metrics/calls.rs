//! Counts the calls of a worker by method and status, for the metrics of gRFC A66.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use greet_proto::status;
use tonic::Code;

use super::counter::Counter;
use super::exemplars::{Exemplar, Exemplars};
use super::histogram::{Distribution, Histogram, LATENCY_NANOS, MESSAGE_BYTES};

/// The index of a served method; `None` for every other path, so that a peer cannot create labels.
pub(crate) type MethodIndex = Option<usize>;

#[derive(Debug)]
pub(crate) struct CallMetrics {
    /// An entry per served method, then one for every other path.
    methods: Box<[MethodMetrics]>,
}

#[derive(Debug, Default)]
struct MethodMetrics {
    started: Counter,
    messages_received: AtomicU64,
    messages_sent: Counter,
    /// By status code; allocated at the first call with this status.
    ended: [OnceLock<Box<EndedCalls>>; status::COUNT],
}

/// The ended calls of one method and status.
#[derive(Debug)]
struct EndedCalls {
    nanos: Histogram,
    exemplars: Exemplars,
    received_bytes: Histogram,
    sent_bytes: Histogram,
}

/// The ended calls of one method and status, summed over the workers.
#[derive(Debug)]
pub(crate) struct EndedTotals {
    pub(crate) method: MethodIndex,
    pub(crate) code: Code,
    pub(crate) nanos: Distribution,
    pub(crate) received_bytes: Distribution,
    pub(crate) sent_bytes: Distribution,
}

impl CallMetrics {
    pub(crate) fn new(served_methods: usize) -> CallMetrics {
        CallMetrics { methods: (0..=served_methods).map(|_| MethodMetrics::default()).collect() }
    }

    pub(crate) fn call_started(&self, method: MethodIndex) {
        self.method(method).started.add(1);
    }

    /// Counts messages of requests. A handler may read them on any thread.
    pub(crate) fn messages_received(&self, method: usize, messages: u64) {
        self.methods[method].messages_received.fetch_add(messages, Ordering::Relaxed);
    }

    pub(crate) fn message_sent(&self, method: usize) {
        self.methods[method].messages_sent.add(1);
    }

    /// Returns the messages of a method, received and sent.
    pub(crate) fn messages(&self, method: usize) -> [u64; 2] {
        let method = &self.methods[method];
        [method.messages_received.load(Ordering::Relaxed), method.messages_sent.get()]
    }

    /// Counts an ended call. Message sizes are those on the wire, without the prefixes.
    pub(crate) fn call_ended(
        &self,
        method: MethodIndex,
        code: Code,
        nanos: u64,
        received_bytes: u64,
        sent_bytes: u64,
    ) {
        let ended = self.method(method).ended[code as usize].get_or_init(|| {
            Box::new(EndedCalls {
                nanos: Histogram::new(&LATENCY_NANOS),
                exemplars: Exemplars::default(),
                received_bytes: Histogram::new(&MESSAGE_BYTES),
                sent_bytes: Histogram::new(&MESSAGE_BYTES),
            })
        });
        ended.nanos.observe(nanos);
        ended.received_bytes.observe(received_bytes);
        ended.sent_bytes.observe(sent_bytes);
    }

    /// Keeps the trace of an ended call that was counted.
    pub(crate) fn set_exemplar(&self, method: MethodIndex, code: Code, exemplar: Exemplar) {
        if let Some(ended) = self.method(method).ended[code as usize].get() {
            ended.exemplars.set(ended.nanos.bucket(exemplar.nanos), exemplar);
        }
    }

    pub(crate) fn started(&self, method: MethodIndex) -> u64 {
        self.method(method).started.get()
    }

    pub(crate) fn started_total(&self) -> u64 {
        self.methods.iter().map(|method| method.started.get()).sum()
    }

    fn method(&self, method: MethodIndex) -> &MethodMetrics {
        &self.methods[method.unwrap_or(self.methods.len() - 1)]
    }
}

/// Sums the ended calls over the workers; omits combinations of method and status without calls.
pub(crate) fn ended_totals<'a>(
    served_methods: usize,
    workers: impl Iterator<Item = &'a CallMetrics> + Clone,
) -> impl Iterator<Item = EndedTotals> {
    combinations(served_methods).filter_map(move |(method, code)| {
        let mut totals = EndedTotals {
            method,
            code,
            nanos: Distribution::new(&LATENCY_NANOS),
            received_bytes: Distribution::new(&MESSAGE_BYTES),
            sent_bytes: Distribution::new(&MESSAGE_BYTES),
        };
        for worker in workers.clone() {
            if let Some(ended) = worker.method(method).ended[code as usize].get() {
                totals.nanos.add(&ended.nanos);
                totals.received_bytes.add(&ended.received_bytes);
                totals.sent_bytes.add(&ended.sent_bytes);
            }
        }
        (totals.nanos.count() > 0).then_some(totals)
    })
}

/// Returns the latest exemplar in each latency bucket over the workers, by method and status.
pub(crate) fn latest_exemplars<'a>(
    served_methods: usize,
    workers: impl Iterator<Item = &'a CallMetrics> + Clone,
) -> impl Iterator<Item = (MethodIndex, Code, Vec<Option<Exemplar>>)> {
    combinations(served_methods).map(move |(method, code)| {
        let mut latest = Vec::new();
        for worker in workers.clone() {
            if let Some(ended) = worker.method(method).ended[code as usize].get() {
                ended.exemplars.merge_into(&mut latest);
            }
        }
        (method, code, latest)
    })
}

fn combinations(served_methods: usize) -> impl Iterator<Item = (MethodIndex, Code)> {
    let methods = (0..served_methods).map(Some).chain([None]);
    let codes = || (0..status::COUNT as i32).map(Code::from_i32);
    methods.flat_map(move |method| codes().map(move |code| (method, code)))
}
