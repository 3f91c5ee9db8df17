//! A load test as people read it.

use std::fmt;
use std::time::Duration;

use greet_proto::status::code_name;

use super::plan::{Plan, Until};
use super::recorder::Bucket;
use super::summary::Summary;
use crate::format::{HumanBytes, HumanDuration};

/// Rows of the drawn histogram, about.
const ROWS: f64 = 12.0;
/// From one row to the next, so that two digits tell them apart.
const MIN_GROWTH: f64 = 1.1;
/// Of the longest bar.
const BAR_COLUMNS: u64 = 40;

/// The figures on a screen.
#[derive(Debug)]
pub(crate) struct TextReport<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) summary: &'a Summary,
}

impl fmt::Display for TextReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TextReport { plan, summary } = self;
        let counts = &summary.counts;
        let (ok, failed) = (counts.ok(), counts.failed());
        let took = HumanDuration(summary.measured);
        writeln!(
            f,
            "calls    {ok} ok, {failed} failed in {took}: {:.0} ok a second",
            summary.rps()
        )?;
        if summary.not_started > 0 {
            let (not_started, room) = (summary.not_started, plan.shape.concurrency);
            writeln!(
                f,
                "         {not_started} more were due and never begun: {room} were under way"
            )?;
        }
        self.latency(f)?;
        let statuses = counts.by_status().map(|(code, count)| (code_name(code), count));
        write_counts(f, "status", statuses)?;
        write_counts(f, "failed", counts.by_stage().map(|(stage, count)| (stage.name(), count)))?;
        let (sent, received) = (HumanBytes(counts.sent_bytes), HumanBytes(counts.received_bytes));
        writeln!(f, "bytes    {sent} sent, {received} received")?;
        write!(f, "load     {}", self.load())?;
        self.histogram(f)
    }
}

impl TextReport<'_> {
    fn latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.summary.counts.latency;
        if latency.is_empty() {
            return Ok(());
        }
        let brief = |micros: u64| HumanDuration(Duration::from_micros(micros));
        let (min, max) = (brief(latency.min()), brief(latency.max()));
        let mean = brief(latency.mean() as u64);
        let stddev = brief(latency.stddev() as u64);
        writeln!(f, "latency  min {min}, mean {mean}, stddev {stddev}, max {max}")?;
        let percentiles = [50.0, 90.0, 99.0, 99.9, 99.99];
        let percentiles = percentiles.map(|p| format!("p{p} {}", brief(latency.percentile(p))));
        writeln!(f, "         {}", percentiles.join(", "))
    }

    fn load(&self) -> String {
        let plan = self.plan.shape;
        let mut parts = vec![match plan.rate {
            Some(rate) => format!("{rate}/s were due, at most {} under way", plan.concurrency),
            None => format!("{} under way", plan.concurrency),
        }];
        parts.push(plural(plan.connections, "connection"));
        parts.push(plural(plan.threads, "thread"));
        match plan.until {
            Until::Elapsed(_) if plan.warm_up.is_zero() => {}
            Until::Elapsed(_) => {
                parts.push(format!("after {} of warm-up", HumanDuration(plan.warm_up)));
            }
            Until::Calls(calls) => parts.push(format!("{calls} calls")),
        }
        if self.summary.interrupted.is_some() {
            parts.push("interrupted".to_owned());
        }
        parts.join(", ")
    }

    /// Each row reaches equally many times as far as the one before.
    fn histogram(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.summary.counts.latency;
        if latency.is_empty() {
            return Ok(());
        }
        let span = (latency.max() + 1) as f64 / latency.min().max(1) as f64;
        let buckets = latency.buckets(span.powf(1.0 / ROWS).max(MIN_GROWTH));
        let most = buckets.iter().map(|bucket| bucket.calls).max().unwrap_or(1);
        writeln!(f)?;
        for Bucket { from_us, calls, .. } in buckets {
            let columns = (calls * BAR_COLUMNS).div_ceil(most.max(1));
            let bar = "#".repeat(usize::try_from(columns).unwrap_or(0));
            let from = HumanDuration(Duration::from_micros(from_us)).to_string();
            write!(f, "\n{from:>8} {bar:<40} {calls}")?;
        }
        Ok(())
    }
}

fn write_counts<'a>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    counts: impl Iterator<Item = (&'a str, u64)>,
) -> fmt::Result {
    let counts: Vec<_> = counts.map(|(name, count)| format!("{name} {count}")).collect();
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(f, "{what:<8} {}", counts.join(", "))
}

/// `1 thread`, `2 threads`
fn plural(number: u32, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
