//! Each scenario is a story of its own.

pub(crate) mod attacks;
pub(crate) mod browser;
pub(crate) mod cpp;
pub(crate) mod diagnose;
pub(crate) mod drain_hostile;
pub(crate) mod drain_under_load;
pub(crate) mod envoy;
pub(crate) mod fd_exhaustion;
pub(crate) mod go;
pub(crate) mod haproxy;
pub(crate) mod health_lifecycle;
pub(crate) mod hello_tcp;
pub(crate) mod hello_unix;
mod interop;
pub(crate) mod metrics;
pub(crate) mod nginx;
pub(crate) mod operations;
pub(crate) mod original_node;
pub(crate) mod otlp;
pub(crate) mod python;
pub(crate) mod python_services;
pub(crate) mod readme;
pub(crate) mod reflection_buf;
pub(crate) mod replacement;
pub(crate) mod rotation;
pub(crate) mod stalled_handshakes;
pub(crate) mod tls;
