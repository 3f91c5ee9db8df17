//! Plain HTTP for whoever keeps the daemon running:
//!
//! ```text
//! GET /            what there is, the version and the phase
//! GET /livez       200 for as long as the process can answer
//! GET /readyz      200 while it is Serving; 503 before, and from the first moment of a drain
//! GET /metrics     OpenMetrics or Prometheus' older form, as `Accept` says
//! GET /log-level   the filter of the log; PUT changes it
//! ```
//!
//! It has a thread of its own, so that it answers when every worker is busy; and no password, so listen
//! where only operators come.

pub(crate) mod collector;
mod routes;
mod server;

pub(crate) use routes::Routes;
pub(crate) use server::AdminServer;
