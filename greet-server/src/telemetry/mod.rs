//! Logs, metrics and spans.

pub(crate) mod fault_kind;
pub mod logging;
pub mod metrics;
pub(crate) mod otel;
pub(crate) mod rate_limit;
pub(crate) mod resource;
pub(crate) mod trace_context;
