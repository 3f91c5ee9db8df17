//! An outage: consecutive calls to a target that failed.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::error::{CallError, StatusSource};

#[derive(Debug)]
pub(super) struct Outage {
    /// The start of the first call that failed.
    pub(super) from: SystemTime,
    /// The start of the next call that succeeded; `None` if there was none.
    pub(super) to: Option<SystemTime>,
    pub(super) duration: Duration,
    /// The calls that failed.
    pub(super) calls: u64,
    /// Those calls by server, without the ones that reached none.
    pub(super) instances: BTreeMap<String, u64>,
    /// The first failure.
    pub(super) failure: CallError,
}

impl Outage {
    pub(super) fn new(from: SystemTime, failure: CallError) -> Outage {
        let (to, duration, instances) = (None, Duration::ZERO, BTreeMap::new());
        Outage { from, to, duration, calls: 0, instances, failure }
    }

    /// Sets the duration. The clock of the system may have been set back.
    pub(super) fn end(self, to: Option<SystemTime>) -> Outage {
        let end = to.unwrap_or_else(SystemTime::now);
        Outage { to, duration: end.duration_since(self.from).unwrap_or_default(), ..self }
    }

    /// Returns whether its first call got no reply.
    pub(super) fn is_unreachable(&self) -> bool {
        match &self.failure {
            CallError::Connect(_) => true,
            CallError::Rpc(error) => {
                matches!(error.source, StatusSource::Deadline | StatusSource::ConnectionLost)
            }
        }
    }
}

/// The outages of a target in numbers: their list has no limit.
#[derive(Debug, Default)]
pub(super) struct OutageTotals {
    pub(super) count: u64,
    pub(super) total: Duration,
    pub(super) longest: Duration,
}

impl OutageTotals {
    pub(super) fn add(&mut self, outage: &Outage) {
        self.count += 1;
        self.total += outage.duration;
        self.longest = self.longest.max(outage.duration);
    }
}
