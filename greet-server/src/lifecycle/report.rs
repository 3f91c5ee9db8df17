//! The report at shutdown: the exit code and the last line of the log.

use crate::telemetry::metrics::close_reason::CloseReason;

/// What the daemon did from start to shutdown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Calls that were answered, with any status.
    pub answered: u64,
    /// Calls that the client cancelled, or lost with its connection.
    pub abandoned: u64,
    /// Calls that were cut at the drain timeout or the second signal.
    pub cut: u64,
    /// Connections that the daemon closed, by reason.
    pub closed: Vec<(CloseReason, u64)>,
    /// Reloads of the TLS files.
    pub tls_reloads: u64,
    /// Changes of the TLS files that were invalid.
    pub tls_reloads_refused: u64,
}

impl ShutdownReport {
    /// Returns 0 if every accepted call was answered, and 3 if any was cut.
    pub fn exit_code(&self) -> u8 {
        if self.cut == 0 { 0 } else { 3 }
    }

    pub(crate) fn log(&self) {
        let ShutdownReport { answered, abandoned, cut, .. } = self;
        let closed = self.closed.iter().filter(|(_, connections)| *connections > 0);
        let closed: Vec<_> = closed
            .map(|(reason, connections)| format!("{}={connections}", reason.name()))
            .collect();
        let closed = (!closed.is_empty()).then(|| closed.join(","));
        if *cut == 0 {
            tracing::info!(answered, abandoned, cut, closed, "server stopped");
        } else {
            tracing::warn!(answered, abandoned, cut, closed, "server stopped, calls were cut");
        }
    }
}
