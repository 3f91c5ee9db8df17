//! Renders the report of a load test as text.

use std::fmt;

use greet_proto::escape::Escaped;

use super::outcome::Outcome;
use super::plan::{Arrivals, Plan};
use super::recorder::{Bucket, LatenessFigures};
use super::steps_text::{Conclusion, mark_note};
use crate::client::ConnectFailure;
use crate::format::{HumanBytes, HumanDuration, LINE_COLUMNS, PerSecond, plural, wrap};

/// The approximate number of rows of the histogram.
const ROWS: f64 = 12.0;
/// Minimum growth from one row to the next, so that their labels differ in two digits.
const MIN_GROWTH: f64 = 1.1;
/// The space of a label, in lines that continue one.
const LABEL: &str = "         ";
/// The length of the longest bar.
const BAR_COLUMNS: u64 = 40;

/// The report of a load test.
#[derive(Debug)]
pub(crate) struct TextReport<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) outcome: &'a Outcome,
}

impl fmt::Display for TextReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(capacity) = &self.outcome.capacity else {
            self.figures(f)?;
            return self.histogram(f);
        };
        if !capacity.steps.is_empty() {
            writeln!(f, "{}", mark_note(&capacity.steps))?; // below the rows, which stand there
        }
        self.figures(f)?;
        let is_interrupted = self.outcome.interrupted.is_some();
        write!(f, "\n\n{}", Conclusion { capacity, is_interrupted })
    }
}

impl TextReport<'_> {
    /// Writes the figures of the run, and the load.
    fn figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TextReport { plan, outcome: Outcome { summary, .. } } = self;
        let counts = &summary.counts;
        let (ok, failed) = (counts.ok(), counts.failed());
        let (time, rps) = (HumanDuration(summary.measured), PerSecond(summary.rps()).rounded());
        let unfinished = match summary.unfinished {
            0 => String::new(),
            number => format!(", {number} unfinished"),
        };
        writeln!(f, "calls    {ok} ok, {failed} failed{unfinished} in {time} ({rps} ok/s)")?;
        if summary.not_started > 0 {
            let (not_started, limit) = (summary.not_started, plan.shape.concurrency);
            writeln!(f, "         {not_started} due but not started (concurrency limit {limit})")?;
        }
        self.latency(f)?;
        if let Some(LatenessFigures { p50, p99, max }) = counts.lateness.lateness_figures() {
            let [p50, p99, max] = [p50, p99, max].map(HumanDuration::from_micros);
            writeln!(f, "lateness p50 {p50}, p99 {p99}, max {max} (start after schedule)")?;
        }
        write_counts(f, "status", counts.by_status())?;
        write_counts(f, "failed", counts.by_stage())?;
        for ConnectFailure { server, failures, .. } in summary.connect_failures.all() {
            let target = Escaped(&server.target);
            let address = server.address.map(|address| format!(" ({address})")).unwrap_or_default();
            writeln!(f, "connect  {failures} failed to {target}{address}")?;
        }
        let (sent, received) = (HumanBytes(counts.sent_bytes), HumanBytes(counts.received_bytes));
        writeln!(f, "bytes    {sent} sent, {received} received")?;
        self.by_target(f)?;
        let load = wrap(&self.load(), LINE_COLUMNS - LABEL.len());
        write!(f, "load     {}", load.join(&format!("\n{LABEL}")))
    }

    /// Writes a line for each server, if there are several.
    fn by_target(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (target, peer, counts) in self.outcome.summary.by_target.all() {
            let target = target.to_string();
            let peer = peer.filter(|peer| !target.ends_with(peer));
            let peer = peer.map(|peer| format!(" ({peer})")).unwrap_or_default();
            let server = format!("{target}{peer}");
            let (ok, failed) = (counts.latency.count(), counts.failed);
            write!(f, "target   {}: {ok} ok, {failed} failed", Escaped(&server))?;
            if ok > 0 {
                let [p50, p99] =
                    [50.0, 99.0].map(|p| HumanDuration::from_micros(counts.latency.percentile(p)));
                write!(f, ", p50 {p50}, p99 {p99}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.outcome.summary.counts.latency;
        if latency.is_empty() {
            return Ok(());
        }
        let (min, max) =
            (HumanDuration::from_micros(latency.min()), HumanDuration::from_micros(latency.max()));
        let mean = HumanDuration::from_micros(latency.mean() as u64);
        let stddev = HumanDuration::from_micros(latency.stddev() as u64);
        writeln!(f, "latency  min {min}, mean {mean}, stddev {stddev}, max {max}")?;
        let percentiles = [50.0, 90.0, 99.0, 99.9, 99.99];
        let percentiles = percentiles
            .map(|p| format!("p{p} {}", HumanDuration::from_micros(latency.percentile(p))));
        writeln!(f, "         {}", percentiles.join(", "))
    }

    fn load(&self) -> String {
        let shape = self.plan.shape;
        let kind = match self.outcome.summary.rate {
            Some(rate) => format!("open loop, {}", PerSecond(rate)),
            None => "closed loop".to_owned(),
        };
        let mut parts = vec![kind];
        if let Arrivals::Poisson { .. } = shape.arrivals {
            parts.push("Poisson arrivals".to_owned());
        }
        parts.push(format!("concurrency {}", shape.concurrency));
        parts.push(plural(shape.connections, "connection"));
        parts.push(plural(shape.threads, "thread"));
        if !shape.warm_up.is_zero() {
            parts.push(format!("warm-up {}", HumanDuration(shape.warm_up)));
        }
        if self.outcome.summary.is_interrupted() {
            parts.push("interrupted".to_owned());
        }
        parts.join(", ")
    }

    /// Draws rows on a log scale.
    fn histogram(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.outcome.summary.counts.latency;
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
            let from = HumanDuration::from_micros(from_us).to_string();
            write!(f, "\n{from:>8} {bar:<40} {calls}")?;
        }
        Ok(())
    }
}

fn write_counts(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    counts: impl Iterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    let counts: Vec<_> = counts.map(|(name, count)| format!("{name} {count}")).collect();
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(f, "{label:<8} {}", counts.join(", "))
}
