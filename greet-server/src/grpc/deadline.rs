//! Computes the deadline of a call, from the shorter of `grpc-timeout` and the configured limit.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::HeaderValue;
use tokio::time::Instant;
use tonic::Status;

/// Digits of a `grpc-timeout` ("gRPC over HTTP2").
const MAX_DIGITS: usize = 8;

/// The instant at which a call times out, and its timeout. `None` if the call has no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<(Instant, Duration)>);

impl Deadline {
    /// Returns the deadline by the header `grpc-timeout` or `limit`, whichever is shorter.
    ///
    /// # Errors
    /// INTERNAL for a malformed `grpc-timeout` (as grpc-go), DEADLINE_EXCEEDED for one of zero.
    pub(super) fn resolve(
        requested: Option<&HeaderValue>,
        limit: Option<Duration>,
        arrived: Instant,
    ) -> Result<Deadline, Status> {
        let requested = requested.map(|value| {
            parse(value.as_bytes()).ok_or_else(|| Status::internal("malformed grpc-timeout header"))
        });
        let timeout = requested.transpose()?.into_iter().chain(limit).min();
        if timeout == Some(Duration::ZERO) {
            return Err(exceeded(Duration::ZERO));
        }
        Ok(timeout.map_or(Deadline(None), |timeout| Deadline::after(arrived, timeout)))
    }

    /// Returns a deadline without limit if the instant cannot be represented.
    pub(super) fn after(arrived: Instant, timeout: Duration) -> Deadline {
        Deadline(arrived.checked_add(timeout).map(|at| (at, timeout)))
    }

    pub(super) fn at(self) -> Option<Instant> {
        self.0.map(|(at, _)| at)
    }

    /// Returns the output of `work`, or DEADLINE_EXCEEDED after dropping it at the deadline. Work
    /// that is done at its first poll needs no timer.
    pub(super) async fn timeout<T>(self, work: impl Future<Output = T>) -> Result<T, Status> {
        let Some((at, timeout)) = self.0 else {
            return Ok(work.await);
        };
        let mut work = pin!(work);
        if let Some(result) = work.as_mut().now_or_never() {
            return Ok(result);
        }
        let result = tokio::time::timeout_at(at, work).await;
        result.map_err(|_elapsed| exceeded(timeout))
    }

    /// Completes with DEADLINE_EXCEEDED at the deadline.
    pub(super) async fn passed(self) -> Status {
        match self.0 {
            Some((at, timeout)) => {
                tokio::time::sleep_until(at).await;
                exceeded(timeout)
            }
            None => std::future::pending().await,
        }
    }
}

fn exceeded(timeout: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "the deadline of {} passed",
        humantime::format_duration(timeout)
    ))
}

/// Parses `TimeoutValue TimeoutUnit`, as in `300m`.
pub(super) fn parse(value: &[u8]) -> Option<Duration> {
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
    fn timeout_is_up_to_eight_digits_and_a_unit() {
        assert_eq!(parse(b"300m"), Some(Duration::from_millis(300)));
        assert_eq!(parse(b"0n"), Some(Duration::ZERO));
        assert_eq!(parse(b"2u"), Some(Duration::from_micros(2)));
        assert_eq!(parse(b"3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse(b"4M"), Some(Duration::from_secs(240)));
        assert_eq!(parse(b"99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for malformed in
            [&b""[..], b"m", b"123456789S", b"-1S", b"+1S", b"1x", b"1", b" 1S", b"1 S"]
        {
            assert_eq!(parse(malformed), None, "{}", String::from_utf8_lossy(malformed));
        }
    }

    fn resolve(timeout: &str, limit: Option<Duration>) -> Result<Option<Duration>, Code> {
        let requested = HeaderValue::from_str(timeout).unwrap();
        match Deadline::resolve(Some(&requested), limit, Instant::now()) {
            Ok(deadline) => Ok(deadline.0.map(|(_, timeout)| timeout)),
            Err(status) => Err(status.code()),
        }
    }

    #[test]
    fn shorter_limit_applies() {
        let second = Duration::from_secs(1);
        assert_eq!(resolve("300m", Some(second)), Ok(Some(Duration::from_millis(300))));
        assert_eq!(resolve("2S", Some(second)), Ok(Some(second)));
        assert_eq!(resolve("2S", None), Ok(Some(2 * second)));
        assert_eq!(resolve("0n", Some(second)), Err(Code::DeadlineExceeded));
        assert_eq!(resolve("soon", Some(second)), Err(Code::Internal));
    }
}
