//! The admin port, HTTP/1.1 for operators:
//!
//! ```text
//! GET /            index, version and phase
//! GET /livez       200 while the process answers
//! GET /readyz      200 while serving, otherwise 503
//! GET /metrics     OpenMetrics or the Prometheus text format, by `Accept`
//! GET /log-level   the log filter; PUT changes it
//! ```
//!
//! Its own thread answers even if every worker is busy. It has no authentication: its address must
//! be reachable by operators only.

mod access;
pub(crate) mod collector;
mod routes;
mod server;

pub(crate) use access::Access;
pub(crate) use routes::Routes;
pub(crate) use server::AdminServer;
