//! Counts the calls of a command: answered by which server, and failed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use serde_json::{Value, json};

use crate::client::{Call, ConnectFailure};
use crate::format::{HumanDuration, PerSecond};
use crate::output::report::{connect_failures, micros};

/// Maximum servers with a count of their own: a server that changes its name must not fill memory.
const MAX_SERVERS: usize = 1_000;
const OTHERS: &str = "others";

#[derive(Debug)]
pub(super) struct Tally {
    started: Instant,
    pub(super) answered: u64,
    pub(super) failed: u64,
    /// Attempts after the first of each call.
    retries: u64,
    /// Calls by `greet-instance`, or by the address of the server.
    answered_by: BTreeMap<String, u64>,
    pub(super) connect_failures: Vec<ConnectFailure>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            started: Instant::now(),
            answered: 0,
            failed: 0,
            retries: 0,
            answered_by: BTreeMap::new(),
            connect_failures: Vec::new(),
        }
    }

    pub(super) fn count<Reply>(&mut self, call: &Call<Reply>) {
        self.retries += u64::from(call.attempts.saturating_sub(1));
        if call.result.is_err() {
            self.failed += 1;
            return;
        }
        self.answered += 1;
        let server = call.instance().or(call.stages.peer.as_deref()).unwrap_or(OTHERS);
        if let Some(count) = self.answered_by.get_mut(server) {
            *count += 1;
            return;
        }
        let is_full = self.answered_by.len() >= MAX_SERVERS;
        let server = if is_full { OTHERS } else { server };
        *self.answered_by.entry(server.to_owned()).or_default() += 1;
    }

    /// Returns the report: `greet.tally/v1` as in `schema/tally.schema.json`.
    pub(super) fn report(&self) -> Value {
        json!({
            "schema": "greet.tally/v1",
            "calls": self.answered + self.failed,
            "answered": self.answered,
            "failed": self.failed,
            "retries": self.retries,
            "answered_by": self.answered_by,
            "connect_failures": connect_failures(&self.connect_failures),
            "total_us": micros(self.started.elapsed()),
        })
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.answered_by.iter()
    }
}

/// `1000 calls in 1.2s (833/s): 998 answered, 2 failed, 17 retries`
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { started, answered, failed, retries, .. } = self;
        let (calls, elapsed) = (answered + failed, started.elapsed());
        let rate = PerSecond(calls as f64 / elapsed.as_secs_f64().max(1e-6));
        let elapsed = HumanDuration(elapsed);
        write!(f, "{calls} calls in {elapsed} ({rate}): {answered} answered, {failed} failed")?;
        match retries {
            0 => Ok(()),
            1 => write!(f, ", 1 retry"),
            _ => write!(f, ", {retries} retries"),
        }
    }
}
