//! When calls are due that come at a rate, and a clock fine enough to wake for them.
//!
//! A call's latency counts from when it was due, not from when there was room for it: a server that
//! stalls for a second delays all the calls of that second, and the figures are to say so.

use std::time::Duration;

use tokio::time::Instant;

/// Moments at even distances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    begins: Instant,
    per_second: f64,
}

impl Schedule {
    pub(super) fn new(begins: Instant, per_second: f64) -> Schedule {
        Schedule { begins, per_second }
    }

    /// When the call with this number is due; the first has number 0.
    pub(super) fn due_at(&self, number: u64) -> Instant {
        self.begins + Duration::from_secs_f64(number as f64 / self.per_second)
    }

    /// How many are due by then.
    pub(super) fn due_by(&self, now: Instant) -> u64 {
        let Some(elapsed) = now.checked_duration_since(self.begins) else {
            return 0;
        };
        let mut due = (elapsed.as_secs_f64() * self.per_second) as u64;
        // What a float loses must make no call due before its time, and none after.
        while due > 0 && self.due_at(due - 1) > now {
            due -= 1;
        }
        while self.due_at(due) <= now {
            due += 1;
        }
        due
    }

    /// How many are due earlier than that.
    pub(super) fn due_before(&self, end: Instant) -> u64 {
        end.checked_sub(Duration::from_nanos(1)).map_or(0, |last| self.due_by(last))
    }
}

/// Sleeps until a moment with the precision of the kernel's timers; the runtime's own timers count
/// milliseconds.
#[derive(Debug)]
pub(super) struct Clock {
    /// A timerfd. `AsyncFd` has no safe constructor left; a pipe's reader waits and reads just as well.
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

/// Sleeps to the millisecond, and yields for the rest: other systems have no such timer.
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
