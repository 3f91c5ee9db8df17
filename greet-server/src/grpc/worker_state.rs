//! What all calls of a worker share.

use std::sync::Arc;

use http::HeaderValue;
use tokio::sync::watch;

use super::access_log::AccessLog;
use super::concurrency_limit::WorkerShare;
use super::web::Cors;
use crate::config::Limits;
use crate::lifecycle::phase::Phase;
use crate::telemetry::metrics::worker::WorkerMetrics;
use crate::telemetry::otel::Tracer;

pub(crate) struct WorkerState {
    pub(crate) limits: Limits,
    /// The value of the header `greet-instance`.
    pub(crate) instance: Option<HeaderValue>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) concurrency: WorkerShare,
    pub(crate) access_log: AccessLog,
    /// `None` without an endpoint for spans.
    pub(crate) tracer: Option<Tracer>,
    /// `None` without gRPC-Web.
    pub(crate) cors: Option<Cors>,
}
