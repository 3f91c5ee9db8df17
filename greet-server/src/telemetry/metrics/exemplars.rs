//! Exemplars: for each latency bucket the trace of a recent call, so that a dashboard leads from a slow
//! bucket to a trace of it.
//!
//! Only calls of sampled traces write them. Each method and status of a worker has a lock; while a scrape
//! reads, the worker omits an exemplar and does not wait.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::telemetry::trace_context::{SpanId, TraceId};

/// The trace of a call. Displayed in the syntax of OpenMetrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exemplar {
    pub(crate) trace_id: TraceId,
    /// The exported span of the call.
    pub(crate) span_id: Option<SpanId>,
    pub(crate) nanos: u64,
    pub(crate) ended: SystemTime,
}

/// The latest exemplar of each bucket; empty before the first one, so that calls without a trace need no
/// memory for them.
#[derive(Debug, Default)]
pub(crate) struct Exemplars(Mutex<Vec<Option<Exemplar>>>);

impl Exemplars {
    pub(crate) fn set(&self, bucket: usize, exemplar: Exemplar) {
        let Ok(mut latest) = self.0.try_lock() else { return };
        if latest.len() <= bucket {
            latest.resize(bucket + 1, None);
        }
        latest[bucket] = Some(exemplar);
    }

    /// Adds these exemplars to those of other workers; of each bucket the latest stays.
    pub(crate) fn merge_into(&self, merged: &mut Vec<Option<Exemplar>>) {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        merged.resize(merged.len().max(latest.len()), None);
        for (merged, exemplar) in merged.iter_mut().zip(&*latest) {
            let is_later =
                |other: &Exemplar| merged.is_none_or(|merged| merged.ended < other.ended);
            if let Some(exemplar) = exemplar.filter(is_later) {
                *merged = Some(exemplar);
            }
        }
    }
}

impl fmt::Display for Exemplar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "# {{trace_id=\"{}\"", self.trace_id)?;
        self.span_id.iter().try_for_each(|span_id| write!(f, ",span_id=\"{span_id}\""))?;
        let (took, ended) = (self.nanos as f64 / 1e9, self.ended.duration_since(UNIX_EPOCH));
        write!(f, "}} {took} {:.3}", ended.unwrap_or_default().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn exemplar(second: u64, nanos: u64) -> Exemplar {
        let ended = UNIX_EPOCH + Duration::from_millis(second * 1_000 + 250);
        Exemplar { trace_id: TraceId([0xab; 16]), span_id: None, nanos, ended }
    }

    #[test]
    fn latest_exemplar_of_each_bucket_remains() {
        let (one, other) = (Exemplars::default(), Exemplars::default());
        one.set(0, exemplar(1, 10));
        one.set(2, exemplar(5, 30));
        one.set(2, exemplar(6, 31));
        other.set(0, exemplar(2, 11));
        other.set(2, exemplar(4, 29));
        let mut merged = Vec::new();
        one.merge_into(&mut merged);
        other.merge_into(&mut merged);
        let nanos: Vec<_> = merged.iter().map(|latest| latest.map(|it| it.nanos)).collect();
        assert_eq!(nanos, [Some(11), None, Some(31)]);
    }

    #[test]
    fn exemplar_is_omitted_while_a_scrape_reads() {
        let exemplars = Exemplars::default();
        let reading = exemplars.0.lock().unwrap();
        exemplars.set(0, exemplar(1, 10));
        assert!(reading.is_empty());
    }

    #[test]
    fn exemplar_has_the_syntax_of_openmetrics() {
        let trace = "ab".repeat(16);
        let mut call = exemplar(1_700_000_000, 12_500);
        assert_eq!(
            call.to_string(),
            format!("# {{trace_id=\"{trace}\"}} 0.0000125 1700000000.250")
        );
        call.span_id = Some(SpanId([0xcd; 8]));
        let labels = format!("{{trace_id=\"{trace}\",span_id=\"{}\"}}", "cd".repeat(8));
        assert_eq!(call.to_string(), format!("# {labels} 0.0000125 1700000000.250"));
    }
}
