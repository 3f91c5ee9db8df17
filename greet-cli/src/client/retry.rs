//! Decides whether and when to retry a call (gRFC A6): calls that the server cannot have executed,
//! and those with a status in `--retry-on`, unless the server's pushback forbids it.

use std::time::Duration;

use http::HeaderMap;
use tonic::Code;

use crate::error::CallError;

/// The server's pushback: a delay, or no retry at all if the value is not a number.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The values of `--retries` and `--retry-on`.
#[derive(Debug, Clone)]
pub(crate) struct RetryPolicy {
    pub(crate) max_retries: u32,
    pub(crate) codes: Vec<Code>,
}

/// The retries of one call.
#[derive(Debug)]
pub(crate) struct Retries<'a> {
    policy: &'a RetryPolicy,
    left: u32,
    backoff: Backoff,
}

impl RetryPolicy {
    pub(crate) fn begin(&self) -> Retries<'_> {
        Retries { policy: self, left: self.max_retries, backoff: Backoff::new() }
    }
}

impl Retries<'_> {
    /// Returns the pause before the next attempt, or `None` to give up.
    pub(crate) fn pause(
        &mut self,
        failure: &CallError,
        metadata: [&HeaderMap; 2],
    ) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let status = failure.status();
        if status.is_some_and(|status| !self.policy.codes.contains(&status.code())) {
            return None;
        }
        let Some(pushback) = metadata.iter().find_map(|headers| headers.get(PUSHBACK)) else {
            return Some(self.backoff.next());
        };
        let millis = pushback.to_str().ok()?.parse::<u32>().ok()?;
        self.backoff = Backoff::new(); // gRFC A6: a pushback resets it
        Some(Duration::from_millis(millis.into()))
    }
}

/// Unnoticeable to a person, and few attempts while a server restarts.
const INITIAL_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Maximum share of a pause that is added or subtracted at random.
const JITTER: f64 = 0.2;

/// Pauses that double up to [`MAX_BACKOFF`], with jitter.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff { next: INITIAL_BACKOFF }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(MAX_BACKOFF);
        pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use crate::error::{ConnectError, RpcError, StatusSource};

    use super::*;

    fn policy(max_retries: u32) -> RetryPolicy {
        RetryPolicy { max_retries, codes: vec![Code::Unavailable] }
    }

    fn failed(status: Status) -> CallError {
        RpcError::new(StatusSource::Server, status).into()
    }

    fn paused(failure: &CallError, pushback: Option<&'static str>) -> Option<Duration> {
        let mut trailers = HeaderMap::new();
        if let Some(pushback) = pushback {
            trailers.insert(PUSHBACK, pushback.parse().unwrap());
        }
        policy(1).begin().pause(failure, [&HeaderMap::new(), &trailers])
    }

    #[test]
    fn unsent_calls_and_listed_statuses_are_retried() {
        assert!(paused(&ConnectError::Refused { peer: String::new() }.into(), None).is_some());
        assert!(paused(&failed(Status::unavailable("")), None).is_some());
        assert!(paused(&failed(Status::internal("")), None).is_none());
    }

    #[test]
    fn server_pushback_overrides_backoff() {
        let unavailable = failed(Status::unavailable(""));
        assert_eq!(paused(&unavailable, Some("1500")), Some(Duration::from_millis(1_500)));
        assert_eq!(paused(&unavailable, Some("-1")), None);
        assert_eq!(paused(&unavailable, Some("soon")), None);
    }

    #[test]
    fn retries_stop_at_maximum() {
        let (policy, unavailable) = (policy(2), failed(Status::unavailable("")));
        let mut retries = policy.begin();
        let none = HeaderMap::new();
        let pauses: Vec<_> =
            (0..4).map(|_| retries.pause(&unavailable, [&none, &none]).is_some()).collect();
        assert_eq!(pauses, [true, true, false, false]);
    }

    #[test]
    fn backoff_doubles_to_one_second_with_jitter() {
        let mut backoff = Backoff::new();
        for expected in [50, 100, 200, 400, 800, 1_000, 1_000] {
            let pause = backoff.next().as_millis();
            assert!(
                (expected * 4 / 5..=expected * 6 / 5).contains(&pause),
                "{pause} for {expected}"
            );
        }
    }
}
