//! Determines the rate that a server sustains, from runs at the rates of a range: steps upwards
//! until one is not sustained, or a search for the highest rate at which a rule is true.

use serde::Serialize;

use super::plan::{Plan, Rate, RateRange};
use super::recorder::{LatencyFigures, LatenessFigures};
use super::search::Search;
use super::summary::Summary;
use super::thresholds::Threshold;
use crate::error::CallError;
use crate::format::PerSecond;

/// Minimum share of a rate that is achieved. Less than all, because calls end later than they start,
/// and a pause of the server near the end of a run does not show that it is overloaded.
const MIN_ACHIEVED_SHARE: f64 = 0.95;
/// Maximum share of calls that fail or are not started: a server that closes its oldest connections
/// may refuse a few, and one that rejects more has reached a limit.
const MAX_ERROR_RATE: f64 = 0.001;

/// The runs at the rates of a range, and what follows from them.
#[derive(Debug)]
pub(crate) struct Capacity {
    pub(super) range: RateRange,
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
    pub(super) latency_us: Option<LatencyFigures>,
    lateness_us: Option<LatenessFigures>,
    pub(super) cpu_share: Option<f64>,
    pub(super) bottleneck: Option<String>,
    pub(super) is_sustained: bool,
    /// The reason that it was not sustained, or did not satisfy the rule.
    #[serde(skip)]
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
        Some(Capacity { range, steps: Vec::new(), find, first_failure: None })
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
        let step = Step::new(self.range.rate(number), summary, rule);
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
        let (runs, last) = (search.runs(), self.steps.last()?);
        let (at, reason) = (PerSecond(last.rate_per_s), last.shortfall.as_deref());
        let reason = reason
            .map_or("no rate satisfied it twice".to_owned(), |reason| format!("at {at} {reason}"));
        Some(format!("no rate from {from} to {to} satisfies '{rule}' in {runs} runs: {reason}"))
    }

    /// Returns the highest sustained rate below the first that was not; `None` also if greet-cli may
    /// have been the limit.
    pub(super) fn knee(&self) -> Option<f64> {
        let not_sustained = self.lowest(|step| !step.is_sustained)?;
        if not_sustained.bottleneck.is_some() {
            return None;
        }
        self.highest_sustained_below(not_sustained.rate_per_s)
    }

    pub(super) fn highest_sustained_below(&self, rate: f64) -> Option<f64> {
        let sustained = self.steps.iter().filter(|it| it.is_sustained && it.rate_per_s < rate);
        sustained.map(|step| step.rate_per_s).reduce(f64::max)
    }

    /// Returns the run at the lowest rate of those selected.
    pub(super) fn lowest(&self, is_selected: impl Fn(&Step) -> bool) -> Option<&Step> {
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
    fn new(rate_per_s: f64, summary: &Summary, rule: Option<&Threshold>) -> Step {
        let counts = &summary.counts;
        let (due, ended_ok) = summary.throughput();
        let achieved_share = if due == 0 { 1.0 } else { ended_ok as f64 / due as f64 };
        // A single call that ends late is not a backlog.
        let has_backlog = ((ended_ok + 1) as f64) < MIN_ACHIEVED_SHARE * due as f64;
        let (rps, error_rate) = (rate_per_s * achieved_share, summary.error_rate());
        let errors = counts.failed() + summary.not_started;
        let shortfall = if error_rate > MAX_ERROR_RATE {
            let percent = error_rate * 100.0;
            Some(format!("{percent:.2} % of the calls failed or were not started"))
        } else if counts.ok() == 0 {
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
            1 => Some("1 call failed or was not started".to_owned()),
            _ => Some(format!("{errors} calls failed or were not started")),
        });
        Step {
            rate_per_s,
            rps,
            ok: counts.ok(),
            failed: counts.failed(),
            not_started: summary.not_started,
            error_rate,
            latency_us: counts.latency.latency_figures(),
            lateness_us: counts.lateness.lateness_figures(),
            cpu_share: summary.cpu_share,
            bottleneck: summary.bottleneck(),
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
