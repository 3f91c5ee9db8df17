//! Decides when a connection gets a GOAWAY and how long it may take to finish: at its maximum age,
//! at its maximum idle time, in a drain (gRFC A9), by a fault rule, and at once over a limit on its peer.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::config::Limits;
use crate::grpc::connection_state::ConnectionState;
use crate::telemetry::metrics::close_reason::CloseReason;

/// Time for an idle peer to acknowledge the PING after a GOAWAY, as in grpc-go. Closing then loses
/// nothing: no call is open.
const GOAWAY_ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// Jitter of the maximum age, as a fraction, so that connections opened together end apart.
const AGE_JITTER: f64 = 0.1;

/// Checks per maximum idle time: idleness is detected at most a quarter of that time late.
const IDLE_CHECKS: u32 = 4;

/// Why a connection gets a GOAWAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoawayReason {
    Drain,
    Age,
    Idle,
    /// A fault rule of kind `goaway` has hit one of its calls.
    Fault,
    /// The peer is over a limit.
    OverLimit(CloseReason),
}

impl GoawayReason {
    /// Returns the reason to count if the connection ends in its grace period.
    pub(crate) fn close_reason(self) -> CloseReason {
        match self {
            GoawayReason::Drain => CloseReason::Drained,
            GoawayReason::Age => CloseReason::MaxConnectionAge,
            GoawayReason::Idle => CloseReason::MaxConnectionIdle,
            GoawayReason::Fault => CloseReason::FaultInjected,
            GoawayReason::OverLimit(reason) => reason,
        }
    }

    /// Completes at the end of the grace period, with the reason to count. In a drain the worker
    /// decides; a peer over a limit has no grace period.
    pub(crate) async fn grace_ended(self, limits: &Limits) -> CloseReason {
        match self {
            GoawayReason::Drain => std::future::pending().await,
            GoawayReason::Age | GoawayReason::Idle | GoawayReason::Fault => {
                boxed_sleep(limits.max_connection_age_grace).await;
                CloseReason::AgeGraceExceeded
            }
            GoawayReason::OverLimit(reason) => reason,
        }
    }
}

/// The signals of other tasks that make a GOAWAY due.
#[derive(Debug)]
pub(crate) struct GoawaySignals {
    /// Gets a value for a fault; its sender is dropped for a drain.
    pub(crate) signalled: oneshot::Receiver<()>,
    /// Gets the reason when the peer is over a limit.
    pub(crate) over_limit: oneshot::Receiver<CloseReason>,
}

impl GoawaySignals {
    /// Completes when a GOAWAY is due, with the reason.
    pub(crate) async fn due(
        &mut self,
        limits: &Limits,
        connection: &ConnectionState,
    ) -> GoawayReason {
        let reason = tokio::select! {
            biased;
            reason = over_limit(&mut self.over_limit) => GoawayReason::OverLimit(reason),
            reason = signalled(&mut self.signalled) => reason,
            () = max_age_reached(limits.max_connection_age) => GoawayReason::Age,
            () = max_idle_reached(limits.max_connection_idle, connection) => GoawayReason::Idle,
        };
        self.signalled.close(); // a fault learns that it is not the reason
        reason
    }
}

/// Completes at a drain, which may have begun in the handshake, or when a fault rule asks for a GOAWAY.
async fn signalled(signal: &mut oneshot::Receiver<()>) -> GoawayReason {
    let is_fault = !signal.is_terminated() && signal.await.is_ok();
    if is_fault { GoawayReason::Fault } else { GoawayReason::Drain }
}

/// Completes when the peer is over a limit, with the reason.
pub(crate) async fn over_limit(signal: &mut oneshot::Receiver<CloseReason>) -> CloseReason {
    signal.await.expect("the connection keeps the sender until it closes")
}

/// Completes at `max_age` with its jitter; never without one.
async fn max_age_reached(max_age: Option<Duration>) {
    let Some(max_age) = max_age else {
        return std::future::pending().await;
    };
    boxed_sleep(max_age.mul_f64(1.0 - AGE_JITTER + 2.0 * AGE_JITTER * fastrand::f64())).await;
}

/// Completes when the connection had no call for `max_idle`; never without one.
async fn max_idle_reached(max_idle: Option<Duration>, connection: &ConnectionState) {
    let Some(max_idle) = max_idle else {
        return std::future::pending().await;
    };
    let mut idle_checks = 0;
    while idle_checks < IDLE_CHECKS {
        let calls_started = connection.calls_started();
        boxed_sleep(max_idle / IDLE_CHECKS).await;
        let was_idle = connection.is_idle() && connection.calls_started() == calls_started;
        idle_checks = if was_idle { idle_checks + 1 } else { 0 };
    }
}

/// Completes when a connection after its GOAWAY is idle, has transferred no byte for
/// [`GOAWAY_ACK_TIMEOUT`], and is still open.
pub(crate) async fn unanswered(connection: &ConnectionState) {
    loop {
        let transferred_bytes = connection.transferred_bytes();
        boxed_sleep(GOAWAY_ACK_TIMEOUT).await;
        if connection.is_idle() && connection.transferred_bytes() == transferred_bytes {
            return;
        }
    }
}

/// Boxed, so that the timer takes no space in the future of a connection until it is needed.
async fn boxed_sleep(duration: Duration) {
    Box::pin(sleep(duration)).await;
}
