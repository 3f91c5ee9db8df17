//! When a connection is told to go, and how long it may take: for its age, for its idleness, or
//! because the daemon leaves (gRFC A9).

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use tokio::time::sleep;

use crate::config::Limits;
use crate::grpc::connection_state::Traffic;
use crate::telemetry::metrics::close_reason::CloseCause;

/// How long an idle peer may leave the GOAWAY's PING unanswered before we stop waiting for it (grpc-go
/// waits as long). It loses nothing: no call is open.
const GOAWAY_PATIENCE: Duration = Duration::from_secs(5);

/// Connections that were made together must not end together: age varies by as much, either way.
const AGE_JITTER: f64 = 0.1;

/// Idleness is looked at this often: it is noticed a quarter late at most.
const LOOKS_PER_IDLE_TIME: u32 = 4;

/// Why a connection is told to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    Drain,
    Age,
    Idle,
    AbandonedCalls,
}

impl Farewell {
    /// What to count if it goes when told to.
    pub(crate) fn cause(self) -> CloseCause {
        match self {
            Farewell::Drain => CloseCause::Drained,
            Farewell::Age => CloseCause::MaxConnectionAge,
            Farewell::Idle => CloseCause::MaxConnectionIdle,
            Farewell::AbandonedCalls => CloseCause::AbandonedCalls,
        }
    }

    /// Completes with the cause to count when it should have gone. In a drain that is the worker's to
    /// say; and who plays with us gets the GOAWAY and no time.
    pub(crate) async fn grace(self, limits: &Limits) -> CloseCause {
        match self {
            Farewell::Drain => std::future::pending().await,
            Farewell::Age | Farewell::Idle => {
                after(limits.max_connection_age_grace).await;
                CloseCause::AgeGraceExceeded
            }
            Farewell::AbandonedCalls => CloseCause::AbandonedCalls,
        }
    }
}

/// Completes at `age`, a tenth more or less; never without one.
pub(crate) async fn is_old(age: Option<Duration>) {
    match age {
        Some(age) => after(age.mul_f64(1.0 + AGE_JITTER * between_minus_one_and_one())).await,
        None => std::future::pending().await,
    }
}

/// Completes when there was no call for `idle_time`; never without one.
pub(crate) async fn is_idle(idle_time: Option<Duration>, traffic: &Traffic) {
    let Some(idle_time) = idle_time else {
        return std::future::pending().await;
    };
    let mut quiet_looks = 0;
    while quiet_looks < LOOKS_PER_IDLE_TIME {
        let calls_begun = traffic.calls_begun();
        after(idle_time / LOOKS_PER_IDLE_TIME).await;
        let was_quiet = traffic.is_idle() && traffic.calls_begun() == calls_begun;
        quiet_looks = if was_quiet { quiet_looks + 1 } else { 0 };
    }
}

/// Completes when a connection that was told to go owes its peer nothing, has seen nothing move for
/// a while, and has still not gone.
pub(crate) async fn is_unanswered(traffic: &Traffic) {
    loop {
        let moved_bytes = traffic.moved_bytes();
        after(GOAWAY_PATIENCE).await;
        if traffic.is_idle() && traffic.moved_bytes() == moved_bytes {
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
