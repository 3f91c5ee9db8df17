//! Reaps orphans while the daemon is process 1 of a container: the kernel gives it the orphans of
//! exec probes and of shells, and each would stay as a zombie.
//!
//! The daemon starts no processes, so no other code waits for them.

use std::io;

use rustix::process::{Pid, WaitOptions, getpid, wait};
use tokio::signal::unix::{SignalKind, signal};

/// Starts a task that reaps every child, if this is process 1. Needs a tokio runtime.
///
/// # Errors
/// The operating system rejects the signal handler.
pub fn start() -> io::Result<()> {
    if getpid() != Pid::INIT {
        return Ok(());
    }
    let mut child_ended = signal(SignalKind::child())?;
    tokio::spawn(async move {
        loop {
            // One signal may stand for several children; some may have ended before the handler.
            while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
            child_ended.recv().await;
        }
    });
    Ok(())
}
