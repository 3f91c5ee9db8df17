//! The daemon's metrics: counters of the workers, the catalog of metrics, and the text formats.

pub(crate) mod calls;
pub(crate) mod catalog;
pub(crate) mod close_reason;
pub(crate) mod counter;
pub(crate) mod encoding;
pub(crate) mod exemplars;
pub(crate) mod histogram;
pub(crate) mod process;
pub(crate) mod worker;

pub use catalog::{FAMILIES, Family};
pub use prometheus_client::metrics::MetricType;
