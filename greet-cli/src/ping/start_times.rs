//! Decides when calls start: one per interval, whether or not earlier ones have ended.
//!
//! A busy machine runs this program milliseconds late, so calls that are late still start. Those that
//! were due during a suspension do not: they would be a burst, and prove nothing about that time.

use std::time::Duration;

use tokio::time::Instant;

/// Far longer than a busy machine delays a program, and shorter than a suspension.
const MAX_LATENESS: Duration = Duration::from_secs(1);

/// The start times of the calls to each target.
#[derive(Debug)]
pub(super) struct StartTimes {
    /// The time of the next call.
    pub(super) due: Instant,
    interval: Duration,
    /// The calls that were not due yet.
    left: u64,
}

/// The calls that were due since the last look.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DueCalls {
    pub(super) start: u64,
    /// Calls that are too late to start.
    pub(super) skip: u64,
}

impl StartTimes {
    pub(super) fn new(begin: Instant, interval: Duration, calls: u64) -> StartTimes {
        StartTimes { due: begin, interval, left: calls }
    }

    pub(super) fn has_more(&self) -> bool {
        self.left > 0
    }

    /// Takes the calls that are due by `now`, at least one. Once the first is too late, only the last
    /// one starts.
    pub(super) fn take(&mut self, now: Instant) -> DueCalls {
        let lateness = now.saturating_duration_since(self.due);
        let more = lateness.as_nanos() / self.interval.as_nanos();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.due += self.interval * more + self.interval;
        let calls = (u64::from(more) + 1).min(self.left);
        self.left -= calls;
        let start = if lateness <= MAX_LATENESS { calls } else { calls.min(1) };
        DueCalls { start, skip: calls - start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn late_calls_start_up_to_maximum_lateness() {
        let begin = Instant::now();
        let times = || StartTimes::new(begin, MS, 10_000);
        for (late, start, skip) in [
            (Duration::ZERO, 1, 0),
            (MS * 2, 3, 0),
            (MAX_LATENESS, 1_001, 0),
            (MAX_LATENESS + MS, 1, 1_001),
        ] {
            let mut times = times();
            assert_eq!(times.take(begin + late), DueCalls { start, skip }, "{late:?}");
            let next = begin + MS * u32::try_from(start + skip).unwrap();
            assert_eq!(times.due, next, "{late:?}");
        }
    }

    #[test]
    fn number_of_calls_is_exact_however_late_they_are() {
        let begin = Instant::now();
        for late in [Duration::ZERO, MS * 7, MAX_LATENESS * 2] {
            let mut times = StartTimes::new(begin, MS * 5, 100);
            let mut calls = 0;
            while times.has_more() {
                let DueCalls { start, skip } = times.take(times.due + late);
                calls += start + skip;
            }
            assert_eq!(calls, 100, "{late:?}");
        }
    }
}
