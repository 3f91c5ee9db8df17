//! Detects a stalled stream: one with data to send whose peer does not open the flow-control window.
//! Such a stream would hold a permit, and delay a drain, until the peer leaves.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Equals the time after which keepalive closes the connection of a silent peer, by default.
const NO_PROGRESS_TIMEOUT: Duration = Duration::from_secs(20);

/// Measures how long HTTP/2 has held data that the peer does not accept.
#[derive(Debug, Default, Clone)]
pub(crate) struct StallDetector {
    blocked_since: Rc<Cell<Option<Instant>>>,
}

impl StallDetector {
    /// Notes that HTTP/2 has the next chunk, or the head; it polls again once the peer accepts it.
    pub(super) fn sent(&self) {
        self.blocked_since.set(Some(Instant::now()));
    }

    /// Notes that HTTP/2 polled for more, and there is none yet.
    pub(super) fn idle(&self) {
        self.blocked_since.set(None);
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.blocked_since.get().is_some_and(|since| since.elapsed() >= NO_PROGRESS_TIMEOUT)
    }

    /// Completes when the peer has accepted nothing for the timeout.
    pub(crate) async fn stalled(&self) {
        loop {
            let now = Instant::now();
            let deadline = self.blocked_since.get().unwrap_or(now) + NO_PROGRESS_TIMEOUT;
            if self.blocked_since.get().is_some() && now >= deadline {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn stalls_within(stall: &StallDetector, time: Duration) -> bool {
        tokio::time::timeout(time, stall.stalled()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn stream_stalls_when_the_peer_accepts_nothing_for_the_timeout() {
        let stall = StallDetector::default();
        stall.sent();
        assert!(!stalls_within(&stall, NO_PROGRESS_TIMEOUT - SECOND).await);
        assert!(stalls_within(&stall, 2 * SECOND).await);
    }

    #[tokio::test(start_paused = true)]
    async fn stream_without_data_to_send_never_stalls() {
        let stall = StallDetector::default();
        stall.sent();
        stall.idle();
        assert!(!stalls_within(&stall, 1_000 * NO_PROGRESS_TIMEOUT).await);
    }
}
