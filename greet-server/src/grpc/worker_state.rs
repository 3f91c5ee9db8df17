//! Holds the state that all calls of a worker share.

use std::sync::Arc;

use tokio::sync::watch;

use super::access_log::AccessLog;
use super::concurrency_limit::WorkerShare;
use super::reply::ReplyTemplate;
use super::web::Cors;
use crate::config::Limits;
use crate::lifecycle::phase::Phase;
use crate::telemetry::metrics::worker::WorkerMetrics;
use crate::telemetry::otel::Tracer;

pub(crate) struct WorkerState {
    pub(crate) limits: Limits,
    pub(crate) template: ReplyTemplate,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) concurrency: WorkerShare,
    pub(crate) access_log: AccessLog,
    /// `None` if no endpoint for spans is configured.
    pub(crate) tracer: Option<Tracer>,
    /// `None` if gRPC-Web is off.
    pub(crate) cors: Option<Cors>,
}
