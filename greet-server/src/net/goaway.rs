//! When a connection is told to go, and how long it may take: for its age, for its idleness, or
//! because the daemon leaves (gRFC A9).

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use tokio::time::sleep;

use crate::config::Limits;
use crate::grpc::connection_state::ConnectionState;
use crate::telemetry::metrics::close_reason::CloseReason;

/// How long an idle peer may leave the GOAWAY's PING unanswered before we stop waiting for it (grpc-go
/// waits as long). It loses nothing: no call is open.
const GOAWAY_ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that were made together must not end together: age varies by as much, either way.
const AGE_JITTER: f64 = 0.1;

/// Idleness is looked at this often: it is noticed a quarter late at most.
const IDLE_CHECKS: u32 = 4;

/// Why a connection is told to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoawayReason {
    Drain,
    Age,
    Idle,
    AbandonedCalls,
}

impl GoawayReason {
    /// What to count if it goes when told to.
    pub(crate) fn cause(self) -> CloseReason {
        match self {
            GoawayReason::Drain => CloseReason::Drained,
            GoawayReason::Age => CloseReason::MaxConnectionAge,
            GoawayReason::Idle => CloseReason::MaxConnectionIdle,
            GoawayReason::AbandonedCalls => CloseReason::AbandonedCalls,
        }
    }

    /// Completes with the cause to count when it should have gone. In a drain that is the worker's to
    /// say; and who plays with us gets the GOAWAY and no time.
    pub(crate) async fn grace(self, limits: &Limits) -> CloseReason {
        match self {
            GoawayReason::Drain => std::future::pending().await,
            GoawayReason::Age | GoawayReason::Idle => {
                after(limits.max_connection_age_grace).await;
                CloseReason::AgeGraceExceeded
            }
            GoawayReason::AbandonedCalls => CloseReason::AbandonedCalls,
        }
    }
}

/// Completes at `age`, a tenth more or less; never without one.
pub(crate) async fn max_age_reached(age: Option<Duration>) {
    match age {
        Some(age) => after(age.mul_f64(1.0 + AGE_JITTER * between_minus_one_and_one())).await,
        None => std::future::pending().await,
    }
}

/// Completes when there was no call for `idle_time`; never without one.
pub(crate) async fn is_idle(idle_time: Option<Duration>, connection: &ConnectionState) {
    let Some(idle_time) = idle_time else {
        return std::future::pending().await;
    };
    let mut quiet_looks = 0;
    while quiet_looks < IDLE_CHECKS {
        let calls_started = connection.calls_started();
        after(idle_time / IDLE_CHECKS).await;
        let was_quiet = connection.is_idle() && connection.calls_started() == calls_started;
        quiet_looks = if was_quiet { quiet_looks + 1 } else { 0 };
    }
}

/// Completes when a connection that was told to go owes its peer nothing, has seen nothing move for
/// a while, and has still not gone.
pub(crate) async fn goaway_unanswered(connection: &ConnectionState) {
    loop {
        let moved_bytes = connection.moved_bytes();
        after(GOAWAY_ACK_TIMEOUT).await;
        if connection.is_idle() && connection.moved_bytes() == moved_bytes {
            return;
        }
    }
}

/// Completes when so much time is over. Its timer has a box, and not room in every connection.
async fn after(duration: Duration) {
    Box::pin(sleep(duration)).await;
}

/// A random number from the standard library's only source of one, the seeds of its hash maps.
fn between_minus_one_and_one() -> f64 {
    let random = RandomState::new().build_hasher().finish() as u32;
    2.0 * f64::from(random) / f64::from(u32::MAX) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_and_stay_within_a_tenth() {
        let samples: Vec<_> = (0..1_000).map(|_| between_minus_one_and_one()).collect();
        assert!(samples.iter().all(|sample| (-1.0..=1.0).contains(sample)));
        assert!(samples.iter().any(|sample| *sample < -0.5));
        assert!(samples.iter().any(|sample| *sample > 0.5));
    }
}
