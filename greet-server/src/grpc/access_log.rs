//! A line for a call that has ended: every call, those that failed, or none. Who reads it learns how
//! long a name was, and never the name.

use std::cell::Cell;
use std::time::{Duration, Instant};

use greet_proto::escape::Escaped;
use greet_proto::status::code_name;
use tonic::Code;

use crate::config;
use crate::grpc::connection_state::Peer;
use crate::telemetry::trace_context::TraceId;

/// Of failed calls, by each worker: enough to see what is wrong, too few to fill a disk with.
const MOST_FAILURES_PER_SECOND: u32 = 20;

/// The path of an unknown method is logged up to this length.
const MOST_PATH_BYTES: usize = 256;

/// One worker's log of calls.
#[derive(Debug)]
pub(crate) struct AccessLog {
    which: config::AccessLog,
    second: Cell<Option<Instant>>,
    told: Cell<u32>,
    untold: Cell<u64>,
}

/// What there is to tell of a call.
pub(super) struct Line<'a> {
    pub(super) method: &'static str,
    pub(super) path: Option<&'a str>,
    pub(super) code: Code,
    pub(super) took: Duration,
    pub(super) peer: Peer,
    pub(super) name_bytes: Option<u64>,
    pub(super) trace_id: Option<TraceId>,
}

impl AccessLog {
    pub(crate) fn new(which: config::AccessLog) -> AccessLog {
        AccessLog { which, second: Cell::new(None), told: Cell::new(0), untold: Cell::new(0) }
    }

    pub(super) fn is_on(&self) -> bool {
        self.which != config::AccessLog::Off
    }

    pub(super) fn tell(&self, line: &Line<'_>) {
        let more = match self.which {
            config::AccessLog::All => 0,
            config::AccessLog::Errors if line.code != Code::Ok => {
                match self.may_tell(Instant::now()) {
                    Some(more) => more,
                    None => return,
                }
            }
            config::AccessLog::Errors | config::AccessLog::Off => return,
        };
        let path = line.path.map(|path| &path[..path.floor_char_boundary(MOST_PATH_BYTES)]);
        let path = path.map(|path| tracing::field::display(Escaped(path)));
        tracing::info!(
            target: "access",
            method = line.method,
            path,
            status = code_name(line.code),
            took_us = u64::try_from(line.took.as_micros()).unwrap_or(u64::MAX),
            peer = %line.peer,
            name_bytes = line.name_bytes,
            trace_id = line.trace_id.map(tracing::field::display),
            more = (more > 0).then_some(more),
            "call"
        );
    }

    /// The last line: failures that had none of their own, and none after them to tell of them.
    pub(crate) fn finish(&self) {
        let more = self.untold.take();
        if more > 0 {
            tracing::info!(target: "access", more, "calls failed without a line");
        }
    }

    /// Whether there is room for one more line in this second, and how many calls went without one
    /// before it.
    fn may_tell(&self, now: Instant) -> Option<u64> {
        if self.second.get().is_none_or(|second| now - second >= Duration::from_secs(1)) {
            self.second.set(Some(now));
            self.told.set(0);
        }
        if self.told.get() == MOST_FAILURES_PER_SECOND {
            self.untold.set(self.untold.get() + 1);
            return None;
        }
        self.told.set(self.told.get() + 1);
        Some(self.untold.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_failures_a_second_are_told_and_of_the_others_how_many_there_were() {
        let log = AccessLog::new(config::AccessLog::Errors);
        let now = Instant::now();
        for _ in 0..MOST_FAILURES_PER_SECOND {
            assert_eq!(log.may_tell(now), Some(0));
        }
        assert_eq!(log.may_tell(now), None);
        assert_eq!(log.may_tell(now + Duration::from_millis(999)), None);
        assert_eq!(log.may_tell(now + Duration::from_secs(1)), Some(2));
        assert_eq!(log.may_tell(now + Duration::from_secs(1)), Some(0));
    }
}
