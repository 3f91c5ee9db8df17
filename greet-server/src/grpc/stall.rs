//! Whether a peer takes what it is sent. A stream that waits for news may wait for ever; one whose
//! peer gives no window may not: it would hold its place, and hold up each drain, for nothing.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// As long as a connection's keepalive takes to give a silent peer up, by default.
const NO_PROGRESS_TIMEOUT: Duration = Duration::from_secs(20);

/// Since when HTTP/2 has had something of a reply that the peer does not take.
#[derive(Debug, Default, Clone)]
pub(crate) struct StallDetector {
    owed_since: Rc<Cell<Option<Instant>>>,
}

impl StallDetector {
    /// HTTP/2 has got the next piece, or the head; it asks for more when the peer has taken it.
    pub(super) fn sent(&self) {
        self.owed_since.set(Some(Instant::now()));
    }

    /// HTTP/2 has asked for more, and there is none yet.
    pub(super) fn idle(&self) {
        self.owed_since.set(None);
    }

    /// Whether the peer has taken nothing for too long.
    pub(crate) fn is_stalled(&self) -> bool {
        self.owed_since.get().is_some_and(|since| since.elapsed() >= NO_PROGRESS_TIMEOUT)
    }

    /// Completes when the peer has taken nothing for too long.
    pub(crate) async fn stalled(&self) {
        loop {
            let now = Instant::now();
            let over = self.owed_since.get().unwrap_or(now) + NO_PROGRESS_TIMEOUT;
            if self.owed_since.get().is_some() && now >= over {
                return;
            }
            sleep_until(over).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn is_missing_within(stall: &StallDetector, time: Duration) -> bool {
        tokio::time::timeout(time, stall.stalled()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_that_is_not_taken_is_waited_for_and_no_longer() {
        let stall = StallDetector::default();
        stall.sent();
        assert!(!is_missing_within(&stall, NO_PROGRESS_TIMEOUT - SECOND).await);
        assert!(is_missing_within(&stall, 2 * SECOND).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_news_may_wait_for_ever() {
        let stall = StallDetector::default();
        stall.sent();
        stall.idle();
        assert!(!is_missing_within(&stall, 1_000 * NO_PROGRESS_TIMEOUT).await);
    }
}
