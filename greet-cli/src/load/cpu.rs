//! How much of its core a thread used: who measures must know when it is the limit itself.

use std::time::Duration;

/// The time that this thread has had on a core; `None` where the system does not tell.
pub(super) fn of_this_thread() -> Option<Duration> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Some(Duration::new(seconds.ok()?, nanos.ok()?))
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    None
}
