//! How many calls went which way: who answered, how many failed, in what time.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::Call;
use crate::format::HumanDuration;

/// Who answers is what servers say of themselves; one that says something else each time must not
/// fill memory.
const MAX_ANSWERERS: usize = 1_000;
const OTHERS: &str = "others";

/// Counts, from the first call on.
#[derive(Debug)]
pub(crate) struct Tally {
    started: Instant,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// By `greet-instance`, or by address of the connection.
    answered_by: BTreeMap<String, u64>,
}

/// `greet.tally/v1`
#[derive(Debug, Serialize)]
pub(crate) struct TallyReport<'a> {
    schema: &'static str,
    calls: u64,
    answered: u64,
    failed: u64,
    answered_by: &'a BTreeMap<String, u64>,
    total_us: u64,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally { started: Instant::now(), answered: 0, failed: 0, answered_by: BTreeMap::new() }
    }

    pub(crate) fn count<Reply>(&mut self, call: &Call<Reply>) {
        if call.result.is_err() {
            self.failed += 1;
            return;
        }
        self.answered += 1;
        let answerer = call.instance().or(call.stages.peer.as_deref()).unwrap_or(OTHERS);
        if let Some(count) = self.answered_by.get_mut(answerer) {
            *count += 1;
            return;
        }
        let is_full = self.answered_by.len() >= MAX_ANSWERERS;
        let answerer = if is_full { OTHERS } else { answerer };
        *self.answered_by.entry(answerer.to_owned()).or_default() += 1;
    }

    pub(crate) fn report(&self) -> TallyReport<'_> {
        TallyReport {
            schema: "greet.tally/v1",
            calls: self.answered + self.failed,
            answered: self.answered,
            failed: self.failed,
            answered_by: &self.answered_by,
            total_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// Who answered, and how often.
    pub(crate) fn answerers(&self) -> impl Iterator<Item = (&str, u64)> {
        self.answered_by.iter().map(|(answerer, count)| (answerer.as_str(), *count))
    }
}

/// `1000 calls in 1.2s (833/s): 998 answered, 2 failed`
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.answered + self.failed;
        let took = self.started.elapsed().max(Duration::from_micros(1));
        let rate = calls as f64 / took.as_secs_f64();
        let Tally { answered, failed, .. } = self;
        let took = HumanDuration(took);
        write!(f, "{calls} calls in {took} ({rate:.0}/s): {answered} answered, {failed} failed")
    }
}
