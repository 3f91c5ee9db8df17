//! Limits the rate of a log line, so that an attack or a lasting fault cannot fill the disk, and
//! counts the suppressed lines.

use std::time::{Duration, Instant};

/// Admits a number of lines per interval.
#[derive(Debug)]
pub(crate) struct LogRateLimiter {
    max_lines: u32,
    interval: Duration,
    interval_start: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl LogRateLimiter {
    pub(crate) fn new(max_lines: u32, interval: Duration) -> LogRateLimiter {
        LogRateLimiter { max_lines, interval, interval_start: None, lines: 0, suppressed: 0 }
    }

    /// Returns the number of lines suppressed before this one, or `None` if it is suppressed too.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.interval_start.is_none_or(|began| now - began >= self.interval) {
            self.interval_start = Some(now);
            self.lines = 0;
        }
        if self.lines == self.max_lines {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(self.take_suppressed())
    }

    /// Returns the number of lines suppressed since the last one, for a line at the end.
    pub(crate) fn take_suppressed(&mut self) -> u64 {
        std::mem::take(&mut self.suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_limit_are_counted_and_reported_with_the_next() {
        let second = Duration::from_secs(1);
        let mut limiter = LogRateLimiter::new(2, second);
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        assert_eq!(limiter.admit(at(0)), Some(0));
        assert_eq!(limiter.admit(at(1)), Some(0));
        assert_eq!(limiter.admit(at(2)), None);
        assert_eq!(limiter.admit(at(999)), None);
        assert_eq!(limiter.admit(at(1_000)), Some(2));
        assert_eq!(limiter.admit(at(1_001)), Some(0));
        assert_eq!(limiter.admit(at(1_002)), None);
        assert_eq!(limiter.take_suppressed(), 1);
        assert_eq!(limiter.take_suppressed(), 0);
    }
}
