//! What the daemon reports about itself: logs, metrics and spans.

pub mod logging;
pub mod metrics;
pub(crate) mod otel;
pub(crate) mod trace_context;
