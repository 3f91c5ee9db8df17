//! The time a call has: the client's `grpc-timeout`, or the daemon's own limit if that is shorter.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName};
use tokio::time::Instant;
use tonic::Status;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// "gRPC over HTTP2" allows a positive integer of at most 8 digits.
const MAX_DIGITS: usize = 8;

/// The moment at which a call is over, counted from its arrival. `None`: it may go on for ever.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<(Instant, Duration)>);

impl Deadline {
    /// # Errors
    /// INTERNAL for a `grpc-timeout` that is not one (as grpc-go answers), DEADLINE_EXCEEDED for
    /// one that is over before anything can happen.
    pub(super) fn of(
        headers: &HeaderMap,
        limit: Option<Duration>,
        arrived: Instant,
    ) -> Result<Deadline, Status> {
        let asked = match headers.get(GRPC_TIMEOUT) {
            Some(value) => Some(
                parse(value.as_bytes())
                    .ok_or_else(|| Status::internal("malformed grpc-timeout header"))?,
            ),
            None => None,
        };
        let budget = match (asked, limit) {
            (Some(asked), Some(limit)) => Some(asked.min(limit)),
            (asked, limit) => asked.or(limit),
        };
        if budget == Some(Duration::ZERO) {
            return Err(exceeded(Duration::ZERO));
        }
        Ok(budget.map_or(Deadline(None), |budget| Deadline::after(arrived, budget)))
    }

    /// A moment too far off to be represented never comes.
    pub(super) fn after(arrived: Instant, budget: Duration) -> Deadline {
        Deadline(arrived.checked_add(budget).map(|at| (at, budget)))
    }

    pub(super) fn at(self) -> Option<Instant> {
        self.0.map(|(at, _)| at)
    }

    /// The work's result, or DEADLINE_EXCEEDED and the work dropped where it stood. Work that is
    /// done at its first poll, as a greeting is, never has a timer.
    pub(super) async fn bound<T>(self, work: impl Future<Output = T>) -> Result<T, Status> {
        let Some((at, budget)) = self.0 else {
            return Ok(work.await);
        };
        let mut work = pin!(work);
        if let Some(result) = work.as_mut().now_or_never() {
            return Ok(result);
        }
        let result = tokio::time::timeout_at(at, work).await;
        result.map_err(|_elapsed| exceeded(budget))
    }

    /// Completes with DEADLINE_EXCEEDED at the deadline.
    pub(super) async fn passed(self) -> Status {
        match self.0 {
            Some((at, budget)) => {
                tokio::time::sleep_until(at).await;
                exceeded(budget)
            }
            None => std::future::pending().await,
        }
    }
}

fn exceeded(budget: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "the deadline of {} passed",
        humantime::format_duration(budget)
    ))
}

/// `TimeoutValue TimeoutUnit`, as in `300m`.
fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 60 * 60)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_timeout_is_up_to_eight_digits_and_a_unit() {
        assert_eq!(parse(b"300m"), Some(Duration::from_millis(300)));
        assert_eq!(parse(b"0n"), Some(Duration::ZERO));
        assert_eq!(parse(b"2u"), Some(Duration::from_micros(2)));
        assert_eq!(parse(b"3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse(b"4M"), Some(Duration::from_secs(240)));
        assert_eq!(parse(b"99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for bad in [&b""[..], b"m", b"123456789S", b"-1S", b"+1S", b"1x", b"1", b" 1S", b"1 S"] {
            assert_eq!(parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    fn of(timeout: &str, limit: Option<Duration>) -> Result<Option<Duration>, Code> {
        let headers = HeaderMap::from_iter([(GRPC_TIMEOUT, timeout.parse().unwrap())]);
        match Deadline::of(&headers, limit, Instant::now()) {
            Ok(deadline) => Ok(deadline.0.map(|(_, budget)| budget)),
            Err(status) => Err(status.code()),
        }
    }

    #[test]
    fn the_shorter_of_the_two_limits_holds() {
        let second = Duration::from_secs(1);
        assert_eq!(of("300m", Some(second)), Ok(Some(Duration::from_millis(300))));
        assert_eq!(of("2S", Some(second)), Ok(Some(second)));
        assert_eq!(of("2S", None), Ok(Some(2 * second)));
        assert_eq!(of("0n", Some(second)), Err(Code::DeadlineExceeded));
        assert_eq!(of("soon", Some(second)), Err(Code::Internal));
    }
}
