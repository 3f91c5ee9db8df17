//! How a daemon's life ended: for its exit code, and for the last line of its log.

use crate::telemetry::metrics::close_reason::CloseReason;

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Calls that were answered, whatever their status.
    pub answered: u64,
    /// Calls that their client gave up, or lost with its connection.
    pub abandoned: u64,
    /// Calls that the drain timeout or a second signal cut.
    pub cut: u64,
    /// Connections that the daemon closed, by cause.
    pub closed: Vec<(CloseReason, u64)>,
    /// Times that changed TLS files were taken.
    pub tls_reloads: u64,
    /// Times that changed TLS files were refused, and the old ones stayed.
    pub tls_reloads_refused: u64,
}

impl ShutdownReport {
    /// 0 if every accepted call was answered, 3 if any was cut.
    pub fn exit_code(&self) -> u8 {
        if self.cut == 0 { 0 } else { 3 }
    }

    /// The last words of the log.
    pub(crate) fn report(&self) {
        let ShutdownReport { answered, abandoned, cut, .. } = self;
        let closed: Vec<_> = self
            .closed
            .iter()
            .filter(|(_, connections)| *connections > 0)
            .map(|(cause, connections)| format!("{}: {connections}", cause.name()))
            .collect();
        let closed = closed.join(", ");
        match cut {
            0 => tracing::info!(answered, abandoned, cut, closed, "stopped"),
            _ => tracing::warn!(answered, abandoned, cut, closed, "stopped, calls were cut"),
        }
    }
}
