//! Growing pauses between attempts, none quite like the other: clients that failed together must not
//! come back together (gRFC A6).

use std::time::Duration;

/// A person does not notice it, and a server that restarts is asked a handful of times.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Still often enough for a script that waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Share of a pause that chance adds or takes.
const JITTER: f64 = 0.2;

/// The next pause, doubled up to [`LONGEST_PAUSE`].
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff { next: FIRST_PAUSE }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_differ_by_a_fifth() {
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
