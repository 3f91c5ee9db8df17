//! Finds out whether greet-cli, not the server, limited the results of a load test.

use std::time::Duration;

use super::figures::MIN_CALLS_ABOVE;
use super::metric::Metric;
use super::recorder::Counts;
use super::summary::Summary;
use crate::format::HumanDuration;

/// Maximum delay of calls at a rate that greet-cli may cause.
const MAX_LAG: Duration = Duration::from_millis(1);
/// Maximum share of it in the latency. A server that does not keep up has latencies of seconds, and
/// a busy machine delays greet-cli by some milliseconds without being the reason.
const MAX_LAG_SHARE: f64 = 0.1;
/// Maximum share of the time in which a thread has work to do.
const MAX_BUSY_SHARE: f64 = 0.95;

impl Summary {
    /// Returns the reason to believe that greet-cli, not the server, limited the results.
    pub(crate) fn bottleneck(&self) -> Option<String> {
        let Counts { lag, latency, .. } = &self.counts;
        let (lag_p99, latency_p99) = (lag.percentile(99.0), latency.percentile(99.0));
        let late = Duration::from_micros(lag_p99);
        // Without a latency, the server is down, or rejects every call.
        let is_relevant =
            !latency.is_empty() && lag_p99 as f64 > MAX_LAG_SHARE * latency_p99 as f64;
        let is_enough = Metric::P99.calls_above(lag.count()) >= MIN_CALLS_ABOVE;
        if late > MAX_LAG && is_relevant && is_enough {
            let late = HumanDuration(late);
            return Some(format!("1% of the calls started at least {late} late"));
        }
        let share = self.busy_share.filter(|share| *share > MAX_BUSY_SHARE)?;
        let percent = (share * 100.0).min(100.0);
        Some(format!("a thread of greet-cli was busy {percent:.0}% of the time"))
    }
}
