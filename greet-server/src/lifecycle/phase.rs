//! The five phases of the daemon, and what leads from one to the next:
//!
//! ```text
//! Starting ──bound──▶ Serving ──first signal──▶ LameDuck ──drain delay──▶ Draining ──▶ Stopped
//!
//! LameDuck   health says NOT_SERVING; everything else goes on, new connections included
//! Draining   listeners close, every connection gets GOAWAY, calls in flight finish
//! Stopped    nothing is left, or the drain timeout (or a second signal) cut what was
//! ```

/// Where the daemon stands between its first and its last moment. Later phases are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Not yet accepting.
    Starting,
    /// Accepting and answering.
    Serving,
    /// Still accepting and answering, but telling whoever asks for its health to go elsewhere.
    LameDuck,
    /// Finishing what was accepted.
    Draining,
    /// Gone.
    Stopped,
}

impl Phase {
    pub(crate) const ALL: [Phase; 5] =
        [Phase::Starting, Phase::Serving, Phase::LameDuck, Phase::Draining, Phase::Stopped];

    /// As metrics and the admin port have it.
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
