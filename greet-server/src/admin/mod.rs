//! The admin port, HTTP/1.1 for operators:
//!
//! ```text
//! GET /                 index, version and phase
//! GET /livez            200 while the process answers
//! GET /readyz           200 while serving, otherwise 503
//! GET /metrics          OpenMetrics or the Prometheus text format, by `Accept`
//! GET /log-level        the log filter; PUT changes it
//! GET /health/SERVICE   the health of a service, or of the server; PUT changes it
//! GET /faults           the faults that are injected into calls; PUT and DELETE change them
//! ```
//!
//! Its own thread answers even if every worker is busy. It has no authentication: its address must
//! be reachable by operators only.

pub(crate) mod access;
pub(crate) mod collector;
mod routes;
mod server;
mod settings;

pub(crate) use access::Access;
pub(crate) use routes::Routes;
pub(crate) use server::AdminServer;
