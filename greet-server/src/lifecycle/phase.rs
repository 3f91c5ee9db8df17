//! The phases of the daemon:
//!
//! ```text
//! Starting ──bound──▶ Serving ──first signal──▶ LameDuck ──drain delay──▶ Draining ──▶ Stopped
//!
//! LameDuck   health is NOT_SERVING; calls and new connections are still served
//! Draining   listeners are closed, every connection gets GOAWAY, calls in flight finish
//! Stopped    every connection ended, or was cut at the drain timeout or the second signal
//! ```

/// A phase. Later phases are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Starting,
    Serving,
    LameDuck,
    Draining,
    Stopped,
}

impl Phase {
    pub(crate) const ALL: [Phase; 5] =
        [Phase::Starting, Phase::Serving, Phase::LameDuck, Phase::Draining, Phase::Stopped];

    /// Returns the name in metrics, logs and on the admin port.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Serving => "serving",
            Phase::LameDuck => "lame_duck",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        }
    }
}
