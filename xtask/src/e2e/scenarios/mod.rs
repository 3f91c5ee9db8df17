//! The scenarios, grouped by subject. Each returns its findings in a few words.

pub(crate) mod call;
pub(crate) mod capacity;
pub(crate) mod container;
pub(crate) mod deb;
pub(crate) mod dist;
pub(crate) mod documents;
pub(crate) mod fair_share;
pub(crate) mod faults;
pub(crate) mod fd_exhaustion;
pub(crate) mod hostile;
pub(crate) mod ipv6;
pub(crate) mod kubernetes;
pub(crate) mod lifecycle;
pub(crate) mod load_report;
pub(crate) mod memory_limit;
pub(crate) mod otel_collector;
pub(crate) mod partition;
pub(crate) mod ping;
pub(crate) mod pods;
pub(crate) mod prometheus;
pub(crate) mod proxies;
pub(crate) mod python;
pub(crate) mod stalled_handshakes;
pub(crate) mod systemd;
pub(crate) mod telemetry;
pub(crate) mod tls;

// <greeter>
pub(crate) mod browser;
pub(crate) mod extending;
pub(crate) mod interop;
pub(crate) mod new;
// </greeter>
