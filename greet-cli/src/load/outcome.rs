//! The outcome of a load test: the figures of one run, and the runs at the rates of a range.

use super::capacity::Capacity;
use super::comparison::Comparison;
use super::summary::Summary;
use super::thresholds::{Judgement, Threshold};
use crate::error::CallError;
use crate::exit::Exit;

/// The results of a load test.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Of a range: the last run that was sustained and satisfied the rule, or the first one.
    pub(crate) summary: Summary,
    /// The runs at the rates of a range.
    pub(crate) capacity: Option<Capacity>,
    /// The exit code of the signal that ended it, in this run or a later one.
    pub(crate) interrupted: Option<Exit>,
}

impl Outcome {
    /// Returns the outcome of a test that could not start.
    pub(crate) fn failed(failure: CallError) -> Outcome {
        let mut summary = Summary::new(None);
        summary.counts.first_failure = Some(failure);
        Outcome { summary, capacity: None, interrupted: None }
    }

    /// Evaluates rules; none if nothing was measured.
    pub(crate) fn judge(
        &self,
        rules: &[Threshold],
        comparison: Option<&Comparison<'_>>,
    ) -> Vec<Judgement> {
        let Outcome { summary, capacity, .. } = self;
        if summary.is_empty() {
            return Vec::new();
        }
        let is_sustained = capacity.as_ref().is_none_or(Capacity::is_any_sustained);
        let judge = |rule: &Threshold| {
            if is_sustained { rule.judge(summary, comparison) } else { rule.not_sustained() }
        };
        rules.iter().map(judge).collect()
    }

    /// Returns the first failed call, of all runs.
    pub(crate) fn first_failure(&self) -> Option<&CallError> {
        let of_runs = self.capacity.as_ref().and_then(|it| it.first_failure.as_ref());
        self.summary.counts.first_failure.as_ref().or(of_runs)
    }

    /// Returns the exit code of the load test.
    pub(crate) fn exit(&self, judgements: &[Judgement]) -> Exit {
        let Outcome { summary, capacity, interrupted } = self;
        if let Some(signal) = *interrupted {
            return signal;
        }
        let has_found = capacity.as_ref().is_none_or(Capacity::has_found);
        if !has_found || judgements.iter().any(Judgement::is_failure) {
            return Exit::ThresholdViolated;
        }
        // Only --fail-if judges single failures, but without a success nothing was measured.
        if summary.counts.ok() > 0 {
            return Exit::Done;
        }
        summary.counts.first_failure.as_ref().map_or(Exit::Usage, CallError::exit)
    }
}
