//! Renders the runs at the rates of a range as a table with a plot, and the conclusion.

use std::fmt;
use std::time::Duration;

use super::capacity::{Capacity, Find, Step};
use crate::format::{HumanDuration, PerSecond, plural, wrap};

/// The length of the longest bar; the table is 80 columns wide with it.
const BAR_COLUMNS: f64 = 16.0;
const LINE_COLUMNS: usize = 80;
/// Marks runs that greet-cli may have limited.
const MARK: &str = "!";

/// The table of all runs.
#[derive(Debug)]
pub(super) struct StepsTable<'a>(pub(super) &'a Capacity);

impl fmt::Display for StepsTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = &self.0.steps;
        let p99 = steps.iter().filter_map(p99);
        let range = p99.fold((f64::MAX, 0.0), |(min, max), p99| (p99.min(min), p99.max(max)));
        let [rate, achieved, errors] = ["rate", "achieved", "errors"];
        write!(f, "{rate:>9} {achieved:>9} {:>7} {:>7} {:>7}", "p50", "p99", "max")?;
        writeln!(f, " {errors:>7} {:>5}  {:<3} p99 (log scale)", "CPU", "ok")?;
        for step in steps {
            let bar = "#".repeat(bar_length(step, range));
            writeln!(f, "{}", format!("{} {bar}", Row(step)).trim_end())?;
        }
        if steps.iter().any(|step| step.bottleneck.is_some()) {
            writeln!(f, "{MARK} greet-cli may have limited this run")?;
        }
        Ok(())
    }
}

fn p99(step: &Step) -> Option<f64> {
    step.latency_us.map(|latency| latency.p99.max(1) as f64)
}

/// Returns the number of columns of a bar, of which the lowest p99 has one and the highest has all.
fn bar_length(step: &Step, (min, max): (f64, f64)) -> usize {
    let Some(p99) = p99(step) else {
        return 0;
    };
    let share = if max > min { (p99 / min).ln() / (max / min).ln() } else { 0.0 };
    (1.0 + share * (BAR_COLUMNS - 1.0)).round() as usize
}

/// The figures of a run.
struct Row<'a>(&'a Step);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.0;
        write!(f, "{:>9} {:>9}", PerSecond(step.rate_per_s), PerSecond(step.rps))?;
        let latency = step.latency_us.as_ref();
        let latencies =
            latency.map(|it| [it.p50, it.p99, it.max].map(human).map(|it| it.to_string()));
        for latency in latencies.unwrap_or_else(|| ["-", "-", "-"].map(str::to_owned)) {
            write!(f, " {latency:>7}")?;
        }
        let percent = |share: f64, decimals: usize| format!("{:.decimals$}%", share * 100.0);
        let errors =
            if step.error_rate > 0.0 { percent(step.error_rate, 2) } else { "0".to_owned() };
        let cpu = step.cpu_share.map_or("-".to_owned(), |share| percent(share, 0));
        let mark = if step.bottleneck.is_some() { MARK } else { " " };
        let ok = if step.shortfall.is_none() { "yes" } else { "no" };
        write!(f, " {errors:>7} {cpu:>5}{mark} {ok:<3}")
    }
}

fn human(micros: u64) -> HumanDuration {
    HumanDuration(Duration::from_micros(micros))
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
        let Some(limit) = self.capacity.lowest(|step| !step.is_sustained) else {
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
        let limit = self.capacity.lowest(|it| it.shortfall.is_some() && it.rate_per_s > rate);
        let (rate, result) = (PerSecond(rate), format!("{measured} ({runs})"));
        if !find.is_confirmed() {
            return format!("found {rate} so far: {result}; interrupted");
        }
        match limit.map(|limit| (PerSecond(limit.rate_per_s), limit)) {
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
