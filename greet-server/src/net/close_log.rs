//! Logs connections that the daemon closed or refused, with peer and reason: at most one line per
//! second and reason, so that an attack cannot fill the disk.

use std::io;
use std::time::{Duration, Instant};

use crate::grpc::connection_state::Peer;
use crate::telemetry::metrics::close_reason::CloseReason;
use crate::telemetry::rate_limit::LogRateLimiter;

const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// The close of a connection by the daemon.
#[derive(Debug)]
pub(crate) struct Close {
    pub(crate) reason: CloseReason,
    /// The error of the TLS handshake, for [`CloseReason::TlsFailed`].
    pub(crate) error: Option<io::Error>,
}

impl From<CloseReason> for Close {
    fn from(reason: CloseReason) -> Close {
        Close { reason, error: None }
    }
}

#[derive(Debug)]
pub(crate) struct CloseLog {
    limiters: [LogRateLimiter; CloseReason::ALL.len()],
}

impl Default for CloseLog {
    fn default() -> CloseLog {
        CloseLog { limiters: CloseReason::ALL.map(|_| LogRateLimiter::new(1, LINE_INTERVAL)) }
    }
}

impl CloseLog {
    pub(crate) fn closed(&mut self, peer: Peer, close: &Close) {
        if let Some(suppressed) = self.limiters[close.reason as usize].admit(Instant::now()) {
            let error = close.error.as_ref().map(tracing::field::display);
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::info!(%peer, cause = close.reason.name(), error, suppressed, "connection closed");
        }
    }
}

impl Drop for CloseLog {
    /// Logs how many lines of each reason were suppressed since the last one.
    fn drop(&mut self) {
        for (reason, limiter) in CloseReason::ALL.into_iter().zip(&mut self.limiters) {
            let suppressed = limiter.take_suppressed();
            if suppressed > 0 {
                tracing::info!(cause = reason.name(), suppressed, "connections closed");
            }
        }
    }
}
