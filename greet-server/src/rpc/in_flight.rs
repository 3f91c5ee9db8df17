//! A call that is at work, counted from its headers to the end of its reply.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use crate::stats::Stats;

/// Calls of one connection that are at work.
pub(crate) type OpenCalls = Rc<Cell<usize>>;

/// Counts a call in flight until it is dropped.
pub(super) struct InFlight {
    stats: Arc<Stats>,
    open_calls: OpenCalls,
    answered: bool,
}

impl InFlight {
    pub(super) fn begin(stats: Arc<Stats>, open_calls: OpenCalls) -> InFlight {
        stats.calls_in_flight.add(1);
        open_calls.set(open_calls.get() + 1);
        InFlight { stats, open_calls, answered: false }
    }

    /// The whole reply was handed to HTTP/2.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.stats.calls_in_flight.subtract(1);
        self.open_calls.set(self.open_calls.get() - 1);
        match self.answered {
            true => self.stats.calls_answered.add(1),
            false => self.stats.calls_abandoned.add(1),
        }
    }
}
