//! Renders the runs at the rates of a range: a row for each when it ends, and the conclusion.

use std::fmt;

use super::capacity::{Capacity, Find, Step};
use crate::format::{HumanDuration, LINE_COLUMNS, PerSecond, plural, wrap};

/// Marks runs that greet-cli may have limited.
const MARK: &str = "!";

/// The names of the columns of [`Row`].
pub(super) fn head() -> String {
    let [rate, achieved, p50, p99, max] = ["rate", "achieved", "p50", "p99", "max"];
    let errors = "errors";
    format!("{rate:>9} {achieved:>9} {p50:>7} {p99:>7} {max:>7} {errors:>7} {:>5}  ok", "CPU")
}

/// Returns the meaning of the mark, if a row has it.
pub(super) fn mark_note(steps: &[Step]) -> String {
    let is_marked = steps.iter().any(|step| step.bottleneck.is_some());
    if is_marked { format!("{MARK} greet-cli may have limited this run\n") } else { String::new() }
}

/// The figures of a run.
#[derive(Debug)]
pub(super) struct Row<'a>(pub(super) &'a Step);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.0;
        write!(f, "{:>9} {:>9}", PerSecond(step.rate_per_s), PerSecond(step.rps))?;
        let latency = step.latency_us.as_ref();
        let latencies = latency.map(|it| {
            [it.p50, it.p99, it.max].map(|us| HumanDuration::from_micros(us).to_string())
        });
        for latency in latencies.unwrap_or_else(|| ["-", "-", "-"].map(str::to_owned)) {
            write!(f, " {latency:>7}")?;
        }
        let percent = |share: f64, decimals: usize| format!("{:.decimals$}%", share * 100.0);
        let errors =
            if step.error_rate > 0.0 { percent(step.error_rate, 2) } else { "0".to_owned() };
        let cpu = step.cpu_share.map_or("-".to_owned(), |share| percent(share, 0));
        let mark = if step.bottleneck.is_some() { MARK } else { " " };
        let ok = if step.shortfall.is_none() { "yes" } else { "no" };
        write!(f, " {errors:>7} {cpu:>5}{mark} {ok}")
    }
}

/// The result of all runs, in a line or two.
#[derive(Debug)]
pub(super) struct Conclusion<'a> {
    pub(super) capacity: &'a Capacity,
    pub(super) is_interrupted: bool,
}

impl fmt::Display for Conclusion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.capacity.find {
            Some(find) => self.found(find),
            None => self.capacity(),
        };
        f.write_str(&wrap(&text, LINE_COLUMNS).join("\n"))
    }
}

impl Conclusion<'_> {
    /// `capacity 12000/s; 13000/s was not sustained: 12104/s achieved`
    fn capacity(&self) -> String {
        let highest = |below| {
            let step = self.capacity.highest_sustained_below(below)?;
            Some(PerSecond(step.rate_per_s))
        };
        let Some(limit) = self.capacity.limit() else {
            return match highest(f64::INFINITY) {
                Some(rate) if self.is_interrupted => {
                    format!("capacity at least {rate}; interrupted")
                }
                Some(rate) => format!("capacity at least {rate}; every step was sustained"),
                None => "capacity unknown; interrupted".to_owned(),
            };
        };
        let (at, reason) = (PerSecond(limit.rate_per_s), why(limit));
        match (&limit.bottleneck, highest(limit.rate_per_s)) {
            (None, Some(rate)) => format!("capacity {rate}; {at} was not sustained: {reason}"),
            (None, None) => format!("capacity below {at}, which was not sustained: {reason}"),
            (Some(bottleneck), rate) => {
                let bound = rate.map_or("unknown".to_owned(), |rate| format!("at least {rate}"));
                format!("capacity {bound}; at {at} greet-cli may have been the limit: {bottleneck}")
            }
        }
    }

    /// `found 12000/s: p99 3.2ms (9 runs); at 12190/s p99 25ms`
    fn found(&self, find: &Find) -> String {
        let Capacity { range, steps, .. } = self.capacity;
        let runs = plural(find.runs(), "run");
        let rate = find.rate(*range).filter(|_| find.is_confirmed() || self.is_interrupted);
        let Some(rate) = rate else {
            let reason = if self.is_interrupted { "interrupted after " } else { "" };
            return format!("found no rate ({reason}{runs})");
        };
        let at_rate = steps.iter().rfind(|step| step.rate_per_s == rate);
        let measured = at_rate.and_then(|step| step.measured.as_deref()).unwrap_or_default();
        let (rate, result) = (PerSecond(rate), format!("{measured} ({runs})"));
        if !find.is_confirmed() {
            return format!("found {rate} so far: {result}; interrupted");
        }
        match self.capacity.limit().map(|limit| (PerSecond(limit.rate_per_s), limit)) {
            None => format!("found at least {rate}: {result}; this is the end of the range"),
            Some((at, Step { bottleneck: Some(bottleneck), .. })) => format!(
                "found at least {rate}: {result}; at {at} greet-cli may have been the limit: \
                 {bottleneck}"
            ),
            Some((at, limit)) => format!("found {rate}: {result}; at {at} {}", why(limit)),
        }
    }
}

/// Returns the reason that a run is not a part of the capacity.
fn why(step: &Step) -> &str {
    step.shortfall.as_deref().unwrap_or_default()
}
