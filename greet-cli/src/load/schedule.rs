//! Schedules calls at a rate, with a precise clock. Latency counts from the time at which a call
//! was due, not from its start: a server that stalls for a second delays all calls of that second.

use std::time::Duration;

use tokio::time::Instant;

/// The times at which calls are due, one after the other. Copies have the same times, so that the
/// task that releases calls and those that make them need no queue between them.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    begin: Instant,
    per_second: f64,
    /// Source of the gaps of a Poisson process; without it all gaps are equal.
    random: Option<fastrand::Rng>,
    /// Number of the next call.
    number: u64,
    /// Time of the next call, in seconds from `begin`.
    seconds: f64,
    next_due: Instant,
}

impl Schedule {
    /// Calls at equal intervals, the first at `begin`.
    pub(super) fn uniform(begin: Instant, per_second: f64) -> Schedule {
        let (number, seconds) = (0, 0.0);
        Schedule { begin, per_second, random: None, number, seconds, next_due: begin }
    }

    /// Calls of a Poisson process.
    pub(super) fn poisson(begin: Instant, per_second: f64, random: fastrand::Rng) -> Schedule {
        let equal = Schedule::uniform(begin, per_second);
        let mut schedule = Schedule { random: Some(random), ..equal };
        schedule.pop(); // the first call comes after a gap too
        schedule
    }

    /// Returns when the next call is due.
    pub(super) fn next_due(&self) -> Instant {
        self.next_due
    }

    /// Takes the next call, and returns when it is due.
    pub(super) fn pop(&mut self) -> Instant {
        let due = self.next_due;
        self.number += 1;
        self.seconds = match &mut self.random {
            // Not a sum, whose errors of rounding would add up.
            None => self.number as f64 / self.per_second,
            Some(random) => self.seconds - (1.0 - random.f64()).ln() / self.per_second,
        };
        self.next_due = self.begin + Duration::from_secs_f64(self.seconds);
        due
    }
}

/// Sleeps with the precision of the kernel's timers; the runtime's timers count milliseconds.
#[derive(Debug)]
pub(super) struct Clock {
    /// A timerfd. `AsyncFd` has no safe constructor; the reader of a pipe works as well.
    #[cfg(target_os = "linux")]
    timer: Option<tokio::net::unix::pipe::Receiver>,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock {
            #[cfg(target_os = "linux")]
            timer: timer(),
        }
    }

    pub(super) async fn sleep_until(&mut self, until: Instant) {
        #[cfg(target_os = "linux")]
        if let Some(timer) = &mut self.timer
            && sleep_precisely(timer, until).await.is_ok()
        {
            return;
        }
        sleep_coarsely(until).await;
    }
}

/// Sleeps to the last millisecond and then yields, for systems without a timerfd.
async fn sleep_coarsely(until: Instant) {
    const COARSE: Duration = Duration::from_millis(1);
    if let Some(early) = until.checked_sub(COARSE) {
        tokio::time::sleep_until(early).await;
    }
    while Instant::now() < until {
        tokio::task::yield_now().await;
    }
}

#[cfg(target_os = "linux")]
fn timer() -> Option<tokio::net::unix::pipe::Receiver> {
    use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok()?;
    tokio::net::unix::pipe::Receiver::from_owned_fd_unchecked(timer).ok()
}

#[cfg(target_os = "linux")]
async fn sleep_precisely(
    timer: &mut tokio::net::unix::pipe::Receiver,
    until: Instant,
) -> std::io::Result<()> {
    use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
    use tokio::io::AsyncReadExt as _;

    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        tokio::task::yield_now().await; // or an excessive rate would leave no time for its calls
        return Ok(());
    }
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    let left = Timespec { tv_sec, tv_nsec: left.subsec_nanos().into() };
    let once = Itimerspec { it_interval: zero, it_value: left };
    timerfd_settime(&*timer, TimerfdTimerFlags::empty(), &once)?;
    timer.read_exact(&mut [0; 8]).await?; // the number of expirations
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_calls_do_not_drift() {
        let begin = Instant::now();
        let mut schedule = Schedule::uniform(begin, 3.0);
        for second in 0..3_000 {
            assert_eq!(schedule.next_due(), begin + Duration::from_secs(second));
            for _ in 0..3 {
                schedule.pop();
            }
        }
    }

    /// Returns the number of calls in each second of the processes together.
    fn calls_per_second(mut processes: Vec<Schedule>, seconds: usize) -> Vec<f64> {
        let mut calls = vec![0.0; seconds];
        for process in &mut processes {
            let begin = process.begin;
            while let Some(count) = calls.get_mut((process.pop() - begin).as_secs() as usize) {
                *count += 1.0;
            }
        }
        calls
    }

    fn mean_and_variance(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        (mean, squares / values.len() as f64)
    }

    #[test]
    fn poisson_processes_add_up_to_one() {
        let begin = Instant::now();
        let process = |seed| Schedule::poisson(begin, 25.0, fastrand::Rng::with_seed(seed));
        let calls = calls_per_second((1..=4).map(process).collect(), 2_000);
        let (mean, variance) = mean_and_variance(&calls);
        // Both are the rate. The standard errors are 0.2 and 3.2.
        assert!((mean - 100.0).abs() < 1.0 && (variance - 100.0).abs() < 12.0, "{mean} {variance}");
    }

    #[test]
    fn same_seed_gives_same_gaps() {
        let begin = Instant::now();
        let due = |seed| {
            let mut schedule = Schedule::poisson(begin, 1e3, fastrand::Rng::with_seed(seed));
            (0..100).map(|_| schedule.pop()).collect::<Vec<_>>()
        };
        assert_eq!(due(7), due(7));
        assert_ne!(due(7), due(8));
    }

    #[tokio::test]
    async fn clock_never_wakes_early() {
        let mut clock = Clock::new();
        for micros in [0, 1, 50, 1_500] {
            let until = Instant::now() + Duration::from_micros(micros);
            clock.sleep_until(until).await;
            assert!(Instant::now() >= until);
            let until = Instant::now() + Duration::from_micros(micros);
            sleep_coarsely(until).await;
            assert!(Instant::now() >= until);
        }
    }
}
