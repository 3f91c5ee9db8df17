//! What one worker has seen since it last told: counts and latencies, without a lock.

use std::time::Duration;

use greet_proto::status;
use tonic::Code;

use super::histogram::Histogram;
use crate::client::Call;
use crate::error::{Failure, Stage};

/// The interval at which a worker reports its counts.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// A piece of the figures, from one worker or of all of them.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    /// Latencies of the calls that ended with OK.
    pub(super) latency: Histogram,
    /// By status; calls that were never sent have none.
    by_status: [u64; status::COUNT],
    by_stage: [u64; Stage::ALL.len()],
    /// How late calls began because this program was late, of calls at a rate.
    pub(super) lag: Histogram,
    /// Of HTTP/2, both ways.
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    /// What went wrong first.
    pub(crate) first_failure: Option<Failure>,
}

impl Counts {
    pub(super) fn new() -> Counts {
        Counts {
            latency: Histogram::new(),
            by_status: [0; status::COUNT],
            by_stage: [0; Stage::ALL.len()],
            lag: Histogram::new(),
            sent_bytes: 0,
            received_bytes: 0,
            first_failure: None,
        }
    }

    /// A call has ended, so long after it was due.
    pub(super) fn ended<Reply>(&mut self, latency: Duration, call: &Call<Reply>) {
        let Err(failure) = &call.result else {
            self.by_status[Code::Ok as usize] += 1;
            return self.latency.record(latency);
        };
        if let Some(status) = failure.status() {
            self.by_status[status.code() as usize] += 1;
        }
        self.by_stage[failure.stage() as usize] += 1;
        self.first_failure.get_or_insert_with(|| failure.clone());
    }

    pub(super) fn add(&mut self, other: Counts) {
        self.latency.add(&other.latency);
        self.lag.add(&other.lag);
        for (sum, count) in self.by_status.iter_mut().zip(other.by_status) {
            *sum += count;
        }
        for (sum, count) in self.by_stage.iter_mut().zip(other.by_stage) {
            *sum += count;
        }
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    pub(crate) fn ok(&self) -> u64 {
        self.by_status[Code::Ok as usize]
    }

    pub(super) fn failed(&self) -> u64 {
        self.by_stage.iter().sum()
    }

    /// Those that came at all.
    pub(super) fn by_status(&self) -> impl Iterator<Item = (Code, u64)> {
        let all = self.by_status.iter().zip(0..);
        all.filter(|(count, _)| **count > 0).map(|(count, code)| (Code::from_i32(code), *count))
    }

    /// Where calls failed.
    pub(super) fn by_stage(&self) -> impl Iterator<Item = (Stage, u64)> {
        let all = Stage::ALL.into_iter().zip(self.by_stage);
        all.filter(|(_, count)| *count > 0)
    }
}
