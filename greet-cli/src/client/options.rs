//! What calls have in common, whatever they are sent to: headers, trust, patience.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::retry::RetryPolicy;
use super::trace::Trace;
use crate::connect::Tls;

/// What calls have in common, whatever they are sent to.
#[derive(Debug, Clone)]
pub(crate) struct CallOptions {
    pub(crate) headers: HeaderMap,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) retries: RetryPolicy,
    pub(crate) trace: Option<Trace>,
    /// No call ends later; `None` if each has its time for itself.
    pub(crate) overall_deadline: Option<Instant>,
}

impl CallOptions {
    /// For calls that are of no use after that.
    pub(crate) fn with_deadline(self, overall_deadline: Instant) -> CallOptions {
        CallOptions { overall_deadline: Some(overall_deadline), ..self }
    }

    /// For calls without end: each has `--timeout` for itself.
    pub(crate) fn without_deadline(self) -> CallOptions {
        CallOptions { overall_deadline: None, ..self }
    }

    /// When a call that begins now ends at the latest.
    pub(crate) fn deadline(&self) -> Instant {
        let deadline = Instant::now() + self.timeout;
        self.overall_deadline.map_or(deadline, |overall_deadline| overall_deadline.min(deadline))
    }

    /// When connecting for it does.
    pub(crate) fn connect_deadline(&self, deadline: Instant) -> Instant {
        let by = self.connect_timeout.map(|timeout| Instant::now() + timeout);
        by.map_or(deadline, |by| by.min(deadline))
    }
}
