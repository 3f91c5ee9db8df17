//! Logs connections that the daemon closed or refused, with peer and reason: one line per second and
//! reason, so that an attack fills no disk.

use std::time::{Duration, Instant};

use crate::grpc::connection_state::Peer;
use crate::telemetry::metrics::close_reason::CloseReason;
use crate::telemetry::rate_limit::LogRateLimiter;

const LINE_INTERVAL: Duration = Duration::from_secs(1);

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
    pub(crate) fn closed(&mut self, peer: Peer, reason: CloseReason) {
        if let Some(suppressed) = self.limiters[reason as usize].admit(Instant::now()) {
            tracing::info!(%peer, cause = reason.name(), suppressed, "connection closed");
        }
    }
}

/// Logs how many lines were suppressed since the last one of each reason. On drop, so that every owner
/// does.
impl Drop for CloseLog {
    fn drop(&mut self) {
        for (reason, limiter) in CloseReason::ALL.into_iter().zip(&mut self.limiters) {
            let suppressed = limiter.take_suppressed();
            if suppressed > 0 {
                tracing::info!(cause = reason.name(), suppressed, "connections closed");
            }
        }
    }
}
