//! Holds the state that all calls of a worker share.

use std::sync::Arc;

use tokio::sync::watch;

use super::access_log::AccessLog;
use super::concurrency_limit::WorkerShare;
use super::memory::WorkerMemory;
use super::response_headers::ReplyTemplate;
use crate::config::Limits;
use crate::lifecycle::phase::Phase;
use crate::telemetry::metrics::worker::{CallKind, WorkerMetrics};
use crate::telemetry::otel::Tracer;

pub(crate) struct WorkerState {
    pub(crate) limits: Limits,
    pub(crate) template: ReplyTemplate,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    /// The permits for concurrent calls, by their kind.
    pub(crate) permits: [WorkerShare; CallKind::ALL.len()],
    pub(crate) memory: WorkerMemory,
    pub(crate) access_log: AccessLog,
    /// `None` if no endpoint for spans is configured.
    pub(crate) tracer: Option<Tracer>,
}

impl WorkerState {
    pub(super) fn permits(&self, kind: CallKind) -> &WorkerShare {
        &self.permits[kind as usize]
    }
}
