//! Records the calls to one target: counts per second and in all, and outages.
//!
//! Counts are those of the calls that have ended. Outages follow the order in which calls started: a
//! call waits for those before it, since one that hangs fails after its successors have succeeded.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::outage::{Outage, OutageTotals};
use crate::client::Call;
use crate::error::CallError;
use crate::load::Histogram;

/// Maximum servers with a count of their own: a server that changes its name must not fill memory.
const MAX_INSTANCES: usize = 1_000;
const OTHERS: &str = "others";

#[derive(Debug, Default)]
pub(super) struct Record {
    /// Number of calls that were started.
    pub(super) started: u64,
    /// Latencies of the calls that ended OK.
    pub(super) latency: Histogram,
    pub(super) failed: u64,
    /// The calls since the last line.
    pub(super) second: Second,
    pub(super) instances: BTreeMap<String, Instance>,
    pub(super) outages: OutageTotals,
    pub(super) first_failure: Option<FirstFailure>,
    /// The outage that has not ended.
    outage: Option<Outage>,
    /// Number of calls, in the order of their start, that are part of the outages.
    settled: u64,
    /// The calls that ended before an earlier one, by number.
    early: BTreeMap<u64, CallEnd>,
}

/// The first call that failed.
#[derive(Debug)]
pub(super) struct FirstFailure {
    pub(super) started: SystemTime,
    pub(super) error: CallError,
    /// Whether a later call succeeded.
    pub(super) is_over: bool,
}

/// The calls that ended within a second.
#[derive(Debug, Default)]
pub(super) struct Second {
    pub(super) latency: Histogram,
    pub(super) failed: u64,
    /// Calls that ended OK, by server.
    pub(super) answered_by: BTreeMap<String, u64>,
    pub(super) last_failure: Option<CallError>,
}

/// The calls that one server has ended.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) ok: u64,
    pub(super) failed: u64,
    /// The start of its first call.
    pub(super) first: SystemTime,
    /// The start of its last call.
    pub(super) last: SystemTime,
}

/// A call that has ended.
#[derive(Debug)]
pub(super) struct CallEnd {
    started: SystemTime,
    latency: Duration,
    /// The `greet-instance` of the reply or else the address of the peer, if it reached one.
    server: Option<String>,
    failure: Option<CallError>,
}

impl CallEnd {
    pub(super) fn new<Reply>(started: SystemTime, call: Call<Reply>) -> CallEnd {
        let server = call.instance().or(call.stages.peer.as_deref()).map(str::to_owned);
        CallEnd { started, latency: call.total, server, failure: call.result.err() }
    }
}

impl Second {
    pub(super) fn is_empty(&self) -> bool {
        self.latency.is_empty() && self.failed == 0
    }
}

impl Record {
    pub(super) fn ok(&self) -> u64 {
        self.latency.count()
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.started - self.ok() - self.failed
    }

    /// Adds the call with this number, counted from 0, and returns the outages that it shows to have
    /// ended.
    pub(super) fn add(&mut self, number: u64, end: CallEnd) -> Vec<Outage> {
        self.count(&end);
        self.early.insert(number, end);
        let mut ended = Vec::new();
        while let Some(end) = self.early.remove(&self.settled) {
            self.settled += 1;
            ended.extend(self.settle(end));
        }
        ended
    }

    /// Returns the outages that are left when no more calls will end.
    pub(super) fn finish(&mut self) -> Vec<Outage> {
        let early = std::mem::take(&mut self.early);
        let mut outages: Vec<_> = early.into_values().filter_map(|end| self.settle(end)).collect();
        if let Some(outage) = self.outage.take() {
            let outage = outage.end(None);
            self.outages.add(&outage);
            outages.push(outage);
        }
        outages
    }

    fn count(&mut self, end: &CallEnd) {
        let CallEnd { started, latency, server, failure } = end;
        let is_ok = failure.is_none();
        if is_ok {
            self.latency.record(*latency);
            self.second.latency.record(*latency);
        } else {
            self.failed += 1;
            self.second.failed += 1;
            self.second.last_failure.clone_from(failure);
        }
        let Some(server) = server else {
            return;
        };
        if is_ok {
            *self.second.answered_by.entry(server.clone()).or_default() += 1;
        }
        let (first, last) = (*started, *started);
        let name = limited(&self.instances, server);
        let instance =
            self.instances.entry(name).or_insert(Instance { ok: 0, failed: 0, first, last });
        instance.ok += u64::from(is_ok);
        instance.failed += u64::from(!is_ok);
        (instance.first, instance.last) = (instance.first.min(first), instance.last.max(last));
    }

    /// Adds the next call in order. Returns the outage that it ends.
    fn settle(&mut self, end: CallEnd) -> Option<Outage> {
        let Some(failure) = end.failure else {
            self.first_failure.iter_mut().for_each(|first| first.is_over = true);
            let outage = self.outage.take()?.end(Some(end.started));
            self.outages.add(&outage);
            return Some(outage);
        };
        if self.first_failure.is_none() {
            let (started, error) = (end.started, failure.clone());
            self.first_failure = Some(FirstFailure { started, error, is_over: false });
        }
        let outage = self.outage.get_or_insert_with(|| Outage::new(end.started, failure));
        outage.calls += 1;
        if let Some(server) = end.server {
            let name = limited(&outage.instances, &server);
            *outage.instances.entry(name).or_default() += 1;
        }
        None
    }
}

/// Returns the name under which a server is counted.
fn limited<V>(counts: &BTreeMap<String, V>, server: &str) -> String {
    let has_room = counts.len() < MAX_INSTANCES || counts.contains_key(server);
    if has_room { server.to_owned() } else { OTHERS.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ConnectError;

    /// Returns the end of the call that starts in this second.
    fn end(second: u64, server: Option<&str>) -> CallEnd {
        let refused = || ConnectError::Refused { peer: "PEER".to_owned() }.into();
        CallEnd {
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
            latency: Duration::from_millis(1),
            server: server.map(str::to_owned),
            failure: server.is_none().then(refused),
        }
    }

    #[test]
    fn outage_has_calls_that_started_within_it_in_any_order_of_their_ends() {
        let mut record = Record::default();
        let mut outages = Vec::new();
        for number in [3, 0, 4, 2, 5, 1] {
            record.started += 1;
            let server = (![1, 2, 3].contains(&number)).then_some("blue");
            outages.extend(record.add(number, end(number, server)));
        }
        let [outage] = &outages[..] else { panic!("{outages:?}") };
        assert_eq!((outage.calls, outage.duration), (3, Duration::from_secs(3)));
        assert_eq!(outage.from, end(1, None).started);
        assert_eq!(outage.to, Some(end(4, None).started));
        let totals = &record.outages;
        assert_eq!((totals.count, totals.longest), (1, Duration::from_secs(3)));
        assert_eq!((record.ok(), record.failed, record.in_flight()), (3, 3, 0));
        assert_eq!(record.first_failure.as_ref().unwrap().started, outage.from);
        assert!(record.finish().is_empty());
    }

    #[test]
    fn outage_that_lasts_to_the_end_has_no_end() {
        let mut record = Record { started: 3, ..Record::default() };
        // Call 0 is in flight.
        assert!(record.add(2, end(2, None)).is_empty());
        assert!(record.add(1, end(1, Some("blue"))).is_empty());
        let outages = record.finish();
        assert_eq!((outages.len(), outages[0].to, outages[0].calls), (1, None, 1));
        assert_eq!((record.outages.count, record.in_flight()), (1, 1));
    }

    #[test]
    fn number_of_instances_is_limited() {
        let mut record = Record::default();
        let name = |number: usize| number.to_string();
        for number in 0..MAX_INSTANCES {
            record.add(number as u64, end(0, Some(&name(number))));
        }
        assert_eq!(record.instances.len(), MAX_INSTANCES);
        assert!(!record.instances.contains_key(OTHERS));
        for number in MAX_INSTANCES..MAX_INSTANCES + 2 {
            record.add(number as u64, end(0, Some(&name(number))));
        }
        record.add(MAX_INSTANCES as u64 + 2, end(0, Some(&name(0))));
        assert_eq!(record.instances.len(), MAX_INSTANCES + 1);
        assert_eq!((record.instances[OTHERS].ok, record.instances[&name(0)].ok), (2, 2));
    }
}
