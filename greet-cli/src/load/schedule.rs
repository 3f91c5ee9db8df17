//! Schedules calls at a rate, with a precise clock. Latency counts from the time at which a call
//! was due, not from its start: a server that stalls for a second delays all calls of that second.

use std::time::Duration;

use tokio::time::Instant;

/// Due times at equal intervals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    begin: Instant,
    per_second: f64,
}

impl Schedule {
    pub(super) fn new(begin: Instant, per_second: f64) -> Schedule {
        Schedule { begin, per_second }
    }

    /// Returns when the call with this number, counted from 0, is due.
    pub(super) fn due_at(&self, number: u64) -> Instant {
        self.begin + Duration::from_secs_f64(number as f64 / self.per_second)
    }

    /// Returns the number of calls that are due by `now`.
    pub(super) fn due_by(&self, now: Instant) -> u64 {
        let Some(elapsed) = now.checked_duration_since(self.begin) else {
            return 0;
        };
        let mut due = (elapsed.as_secs_f64() * self.per_second) as u64;
        // Corrects the rounding of the float.
        while due > 0 && self.due_at(due - 1) > now {
            due -= 1;
        }
        while self.due_at(due) <= now {
            due += 1;
        }
        due
    }

    /// Returns the number of calls that are due before `end`.
    pub(super) fn due_before(&self, end: Instant) -> u64 {
        end.checked_sub(Duration::from_nanos(1)).map_or(0, |last| self.due_by(last))
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
    fn calls_are_due_at_their_time_and_not_before() {
        let begins = Instant::now();
        let schedule = Schedule::new(begins, 3.0);
        assert_eq!(schedule.due_by(begins), 1);
        for number in 0..10_000 {
            let at = schedule.due_at(number);
            assert_eq!(schedule.due_by(at), number + 1);
            if number > 0 {
                assert_eq!(schedule.due_by(at - Duration::from_nanos(1)), number);
            }
        }
        assert_eq!(schedule.due_before(begins), 0);
        assert_eq!(schedule.due_before(begins + Duration::from_secs(3_000)), 9_000);
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
