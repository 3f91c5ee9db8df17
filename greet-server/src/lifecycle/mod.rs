//! The phases of the daemon, the signals that change them, and the reports to systemd and the log.

pub(crate) mod phase;
#[cfg(unix)]
pub mod reaper;
pub(crate) mod report;
pub mod signals;
pub mod systemd;
pub(crate) mod watchdog;
