//! Determines the rate that a server sustains, from runs at the rates of a range: steps upwards
//! until one is not sustained, or a search for the highest rate at which a rule is true.

use serde::Serialize;

use super::plan::{Plan, Rate, RateRange};
use super::recorder::{LatencyFigures, LatenessFigures};
use super::search::Search;
use super::summary::Summary;
use super::thresholds::Threshold;
use crate::error::CallError;
use crate::format::{PerSecond, plural};

/// Minimum share of a rate that is achieved. Less than all, because calls end later than they start,
/// and a pause of the server near the end of a run does not show that it is overloaded.
const MIN_ACHIEVED_SHARE: f64 = 0.95;
/// Maximum share of calls that fail or are not started: a server that closes its oldest connections
/// may refuse a few, and one that rejects more has reached a limit.
const MAX_ERROR_RATE: f64 = 0.001;
/// Minimum growth of the time that a call takes if the server is the reason that calls reach the
/// concurrency limit: with a queue of that length, each call takes several times as long.
const MIN_SLOWDOWN: f64 = 2.0;

/// The runs at the rates of a range, and what follows from them.
#[derive(Debug)]
pub(crate) struct Capacity {
    pub(super) range: RateRange,
    concurrency: u32,
    pub(super) steps: Vec<Step>,
    pub(super) find: Option<Find>,
    /// The first failed call of all runs.
    pub(super) first_failure: Option<CallError>,
}

/// The search for the highest rate at which a rule is true.
#[derive(Debug)]
pub(super) struct Find {
    pub(super) rule: Threshold,
    search: Search,
    /// Whether the next run repeats the last one.
    is_repeated: bool,
}

/// A run at one rate, as in the report.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) rate_per_s: f64,
    /// The rate that was achieved.
    pub(super) rps: f64,
    ok: u64,
    failed: u64,
    not_started: u64,
    pub(super) error_rate: f64,
    /// Mean time from the start of a call to its end.
    #[serde(skip)]
    call_us: f64,
    pub(super) latency_us: Option<LatencyFigures>,
    lateness_us: Option<LatenessFigures>,
    pub(super) cpu_share: Option<f64>,
    pub(super) bottleneck: Option<String>,
    pub(super) is_sustained: bool,
    /// The reason that it was not sustained, or did not satisfy the rule.
    pub(super) shortfall: Option<String>,
    /// The metric of the rule and its value: `p99 3.2ms`.
    #[serde(skip)]
    pub(super) measured: Option<String>,
}

impl Capacity {
    /// Returns `None` for a plan without a range of rates.
    pub(super) fn new(plan: &Plan) -> Option<Capacity> {
        let Some(Rate::Range(range)) = plan.shape.rate else {
            return None;
        };
        let find = plan.find.as_ref().map(|rule| Find {
            rule: rule.clone(),
            search: Search::new(range.len() - 1),
            is_repeated: false,
        });
        let concurrency = plan.shape.concurrency;
        Some(Capacity { range, concurrency, steps: Vec::new(), find, first_failure: None })
    }

    /// Returns the rate of the next run, or `None` at the end.
    pub(super) fn next_rate(&self) -> Option<f64> {
        Some(self.range.rate(self.next_number()?))
    }

    fn next_number(&self) -> Option<u32> {
        match &self.find {
            Some(find) => find.search.next(),
            None if self.steps.last().is_some_and(|step| !step.is_sustained) => None,
            None => u32::try_from(self.steps.len()).ok().filter(|next| *next < self.range.len()),
        }
    }

    /// Adds the run at the next rate, and returns whether it was sustained and satisfied the rule.
    pub(super) fn record(&mut self, summary: &Summary) -> bool {
        let Some(number) = self.next_number() else {
            return false;
        };
        let rule = self.find.as_ref().map(|find| &find.rule);
        let rate = self.range.rate(number);
        let sustained = self.highest_sustained_below(rate);
        let step = Step::new(rate, summary, rule, self.concurrency, sustained);
        let has_passed = step.shortfall.is_none();
        if let Some(find) = &mut self.find {
            find.record(number, has_passed, step.bottleneck.is_some());
        }
        self.steps.push(step);
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&summary.counts.first_failure);
        }
        has_passed
    }

    /// Returns whether the search, if there is one, has found a rate.
    pub(crate) fn has_found(&self) -> bool {
        self.find.as_ref().is_none_or(Find::is_confirmed)
    }

    /// Returns the reason that the search found no rate, if so.
    pub(crate) fn not_found(&self) -> Option<String> {
        let Find { rule, search, .. } = self.find.as_ref().filter(|find| !find.is_confirmed())?;
        let (from, to) = (PerSecond(self.range.from), PerSecond(self.range.to));
        let (runs, last) = (plural(search.runs(), "run"), self.steps.last()?);
        let (at, reason) = (PerSecond(last.rate_per_s), last.shortfall.as_deref());
        let reason = reason
            .map_or("no rate satisfied it twice".to_owned(), |reason| format!("at {at} {reason}"));
        Some(format!("no rate from {from} to {to} satisfies '{rule}' in {runs}: {reason}"))
    }

    /// Returns whether a rate was sustained; `true` also before the end of the first run.
    pub(super) fn is_any_sustained(&self) -> bool {
        self.steps.is_empty() || self.steps.iter().any(|step| step.is_sustained)
    }

    /// Returns the run that ends the range: the lowest rate that did not pass, above the one found.
    pub(super) fn limit(&self) -> Option<&Step> {
        let found = self.find.as_ref().and_then(|find| find.rate(self.range)).unwrap_or(0.0);
        self.lowest(|step| step.shortfall.is_some() && step.rate_per_s > found)
    }

    /// Returns the reason that greet-cli, not the server, may have ended the range.
    pub(crate) fn bottleneck(&self) -> Option<String> {
        let limit = self.limit()?;
        let (at, bottleneck) = (PerSecond(limit.rate_per_s), limit.bottleneck.as_ref()?);
        Some(format!("at {at} {bottleneck}"))
    }

    /// Returns the highest sustained rate below the first that was not; `None` also if greet-cli may
    /// have been the limit.
    pub(super) fn knee(&self) -> Option<f64> {
        let not_sustained = self.lowest(|step| !step.is_sustained)?;
        if not_sustained.bottleneck.is_some() {
            return None;
        }
        self.highest_sustained_below(not_sustained.rate_per_s).map(|step| step.rate_per_s)
    }

    /// Returns the run at the highest sustained rate below a rate.
    pub(super) fn highest_sustained_below(&self, rate: f64) -> Option<&Step> {
        let sustained = self.steps.iter().filter(|it| it.is_sustained && it.rate_per_s < rate);
        sustained.max_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s))
    }

    /// Returns the run at the lowest rate of those selected.
    fn lowest(&self, is_selected: impl Fn(&Step) -> bool) -> Option<&Step> {
        let selected = self.steps.iter().filter(|step| is_selected(step));
        selected.min_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s))
    }
}

impl Find {
    /// Records a run. One that failed while greet-cli may have been the reason is repeated once: a
    /// disturbance of its machine says nothing about the server.
    fn record(&mut self, number: u32, has_passed: bool, is_limited: bool) {
        if !has_passed && is_limited && !self.is_repeated {
            self.is_repeated = true;
            self.search.ignore_run();
        } else {
            self.is_repeated = false;
            self.search.record(number, has_passed);
        }
    }

    /// Returns the highest rate that satisfied the rule.
    pub(super) fn rate(&self, range: RateRange) -> Option<f64> {
        self.search.found().map(|number| range.rate(number))
    }

    /// Returns whether enough runs at this rate satisfied the rule.
    pub(super) fn is_confirmed(&self) -> bool {
        self.search.is_confirmed()
    }

    pub(super) fn runs(&self) -> u32 {
        self.search.runs()
    }
}

impl Step {
    /// `sustained` is a run at a lower rate, if there is one.
    fn new(
        rate_per_s: f64,
        summary: &Summary,
        rule: Option<&Threshold>,
        concurrency: u32,
        sustained: Option<&Step>,
    ) -> Step {
        let counts = &summary.counts;
        let (ok, failed, not_started) = (counts.ok(), counts.failed(), summary.not_started);
        let (due, ended_ok) = summary.throughput();
        // Calls that were due in the first half may end in the second.
        let achieved_share = if due == 0 { 1.0 } else { (ended_ok as f64 / due as f64).min(1.0) };
        // A single call that ends late is not a backlog.
        let has_backlog = ((ended_ok + 1) as f64) < MIN_ACHIEVED_SHARE * due as f64;
        let (rps, error_rate) = (rate_per_s * achieved_share, summary.error_rate());
        let did_not_start = format!("did not start (concurrency limit {concurrency})");
        let (errors, happened) =
            if failed >= not_started { (failed, "failed") } else { (not_started, &*did_not_start) };
        let share = |number: u64| number as f64 / (ok + failed + not_started).max(1) as f64;
        let shortfall = if error_rate > MAX_ERROR_RATE {
            Some(format!("{:.2}% of the calls {happened}", share(errors) * 100.0))
        } else if ok == 0 {
            Some("no call ended OK".to_owned())
        } else if has_backlog {
            Some(format!("{} achieved", PerSecond(rps)))
        } else {
            None
        };
        let is_sustained = shortfall.is_none();
        let measured = rule.map(|rule| measured(rule, summary));
        let broken = rule.and_then(|rule| match errors {
            0 if rule.is_violated(summary) => None,
            0 => measured.clone(),
            _ => Some(format!("{} {happened}", plural(errors, "call"))),
        });
        let call_us = counts.latency.mean() - counts.lateness.mean();
        let is_slower = sustained.is_some_and(|step| call_us >= MIN_SLOWDOWN * step.call_us);
        let bottleneck = if share(failed) > MAX_ERROR_RATE {
            None // a server that fails calls is the limit
        } else if not_started > 0 && !is_slower {
            Some(format!("{} {did_not_start}", plural(not_started, "call")))
        } else {
            summary.bottleneck()
        };
        Step {
            rate_per_s,
            rps,
            ok,
            failed,
            not_started,
            error_rate,
            call_us,
            latency_us: counts.latency.latency_figures(),
            lateness_us: counts.lateness.lateness_figures(),
            cpu_share: summary.cpu_share,
            bottleneck,
            is_sustained,
            shortfall: shortfall.or(broken),
            measured,
        }
    }
}

/// Returns the metric of a rule and its value.
fn measured(rule: &Threshold, summary: &Summary) -> String {
    let text = rule.to_string();
    let (metric, _) = text.split_once('<').unwrap_or((&text, ""));
    format!("{} {}", metric.trim_end(), rule.measured(summary))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::Call;
    use crate::error::ConnectError;
    use crate::load::figures::tests::summary;

    const RATE: f64 = 1_000.0;
    const CONCURRENCY: u32 = 10;

    /// Returns a run of 1000 calls that ended OK, all released 50 ms late, and others that failed.
    fn run(latency_us: u64, failed: u64, not_started: u64) -> Summary {
        let mut summary = summary(&[(1_000, latency_us)]);
        let mut call = Call::<()>::new(std::sync::Arc::new("a:1".parse().unwrap()));
        call.result = Err(ConnectError::Refused { peer: String::new() }.into());
        (0..failed).for_each(|_| summary.counts.record(Duration::ZERO, &call));
        (0..1_000).for_each(|_| summary.counts.lag.record(Duration::from_millis(50)));
        summary.not_started = not_started;
        summary
    }

    fn step(summary: &Summary, rule: Option<&str>, sustained: Option<&Step>) -> Step {
        let rule = rule.map(|rule| rule.parse().unwrap());
        Step::new(RATE, summary, rule.as_ref(), CONCURRENCY, sustained)
    }

    #[test]
    fn failed_calls_are_a_limit_of_the_server() {
        let sustained = step(&run(10, 1, 0), None, None);
        assert!(sustained.is_sustained && sustained.bottleneck.is_some(), "{sustained:?}");
        let failed = step(&run(10, 2, 0), None, None);
        assert_eq!(failed.bottleneck, None);
        assert_eq!(failed.shortfall.as_deref(), Some("0.20% of the calls failed"));
        let mut dead = run(10, 1_000, 0);
        dead.counts.latency = Default::default();
        let dead = step(&dead, Some("p99<1s"), None);
        assert_eq!(dead.bottleneck, None);
        assert_eq!(dead.shortfall.as_deref(), Some("100.00% of the calls failed"));
    }

    #[test]
    fn concurrency_limit_is_a_limit_of_greet_cli_unless_calls_take_longer() {
        let limit = "250 calls did not start (concurrency limit 10)";
        let without_lag = |latency_us, not_started| {
            let mut summary = run(latency_us, 0, not_started);
            summary.counts.lag = Default::default();
            summary
        };
        let sustained = step(&without_lag(1_000, 0), None, None);
        assert_eq!((sustained.is_sustained, &sustained.bottleneck), (true, &None));
        let full = step(&without_lag(1_900, 250), None, Some(&sustained));
        assert_eq!(full.bottleneck.as_deref(), Some(limit));
        let shortfall = "20.00% of the calls did not start (concurrency limit 10)";
        assert_eq!(full.shortfall.as_deref(), Some(shortfall));
        let slower = step(&without_lag(2_100, 250), None, Some(&sustained));
        assert_eq!((slower.bottleneck, slower.shortfall), (None, full.shortfall));
        let first = step(&without_lag(2_100, 250), None, None);
        assert_eq!(first.bottleneck.as_deref(), Some(limit), "nothing to compare with");
    }

    #[test]
    fn rule_needs_a_run_without_errors() {
        let shortfall = |rule: &str, failed| step(&run(10, failed, 0), Some(rule), None).shortfall;
        assert_eq!(shortfall("p50<1s", 0), None);
        assert_eq!(shortfall("p50<1s", 1).as_deref(), Some("1 call failed"));
        assert_eq!(shortfall("p50<1us", 0).as_deref(), Some("p50 10us"));
    }

    #[test]
    fn late_start_of_few_calls_is_chance() {
        let mut summary = run(10, 0, 0);
        assert!(summary.bottleneck().is_some());
        summary.counts.lag = Default::default();
        (0..999).for_each(|_| summary.counts.lag.record(Duration::from_millis(50)));
        assert_eq!(summary.bottleneck(), None);
    }
}
