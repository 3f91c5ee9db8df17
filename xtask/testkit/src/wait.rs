//! Waiting in bounded time: for a condition that no event announces, or for a future.

use std::thread;
use std::time::{Duration, Instant};

/// Exceeds what any step takes, so that only a missing event ends a test with a failure.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause between two looks at a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `condition` is true, or panics with its name. Other tasks run meanwhile.
#[cfg(feature = "tokio")]
pub async fn eventually(name: &str, mut condition: impl AsyncFnMut() -> bool) {
    let met = async {
        while !condition().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let met = tokio::time::timeout(TEST_TIMEOUT, met).await;
    assert!(met.is_ok(), "{name}: not within {TEST_TIMEOUT:?}");
}

/// Returns the output of `future`, or panics when [`TEST_TIMEOUT`] has passed.
#[cfg(feature = "tokio")]
pub async fn with_timeout<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TEST_TIMEOUT, future).await.expect("it should complete in time")
}

/// Polls until `look` returns a value. Returns `None` when `limit` has passed.
pub fn poll_until<T>(limit: Duration, look: impl FnMut() -> Option<T>) -> Option<T> {
    repeat_for(limit, POLL_INTERVAL, look)
}

/// Runs `action` at an interval, until it returns a value or `duration` has passed.
pub fn repeat_for<T>(
    duration: Duration,
    interval: Duration,
    mut action: impl FnMut() -> Option<T>,
) -> Option<T> {
    let started = Instant::now();
    loop {
        let returned = action();
        if returned.is_some() || started.elapsed() > duration {
            return returned;
        }
        thread::park_timeout(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_ends_with_a_value_or_at_its_limit() {
        let mut looks = 0;
        let found = poll_until(TEST_TIMEOUT, || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found, Some(3));
        assert_eq!(poll_until(Duration::ZERO, || None::<()>), None);
    }
}
