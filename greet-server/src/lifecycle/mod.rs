//! The phases of the daemon, the signals that end them, and what a supervisor and the log learn of it.

pub(crate) mod phase;
pub(crate) mod report;
pub mod signals;
pub(crate) mod systemd;
