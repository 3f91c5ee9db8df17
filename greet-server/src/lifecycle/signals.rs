//! Handles signals: SIGTERM and SIGINT begin the drain, and the second one cuts it short. SIGHUP
//! reloads the certificates, SIGUSR1 toggles the debug log.
//!
//! A service manager may signal the process and then its group, so a second SIGTERM or SIGINT within
//! 100 ms is not counted.
//!
//! Only `main` uses signals; the library takes futures.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Faster than a user presses Ctrl-C twice, slower than a service manager repeats a signal.
const SIGNAL_DEDUP_INTERVAL: Duration = Duration::from_millis(100);

const HANGUP: &str = "SIGHUP";
const TOGGLE: &str = "SIGUSR1";

/// The signals that arrived since [`Signals::install`].
#[derive(Debug)]
pub struct Signals {
    count: watch::Receiver<u32>,
    hangups: watch::Receiver<u32>,
    toggles: watch::Receiver<u32>,
}

impl Signals {
    /// Replaces the default action, termination. Call it before binding: from then on no signal is
    /// lost. Needs a tokio runtime.
    ///
    /// # Errors
    /// The operating system rejects the handler.
    pub fn install() -> io::Result<Signals> {
        let mut source = Source::install()?;
        let (stop, count) = watch::channel(0);
        let (reload, hangups) = watch::channel(0);
        let (toggle, toggles) = watch::channel(0);
        tokio::spawn(async move {
            let mut last_stop: Option<Instant> = None;
            loop {
                let signal = source.recv().await;
                let counter = match signal {
                    HANGUP => &reload,
                    TOGGLE => &toggle,
                    _ => {
                        let now = Instant::now();
                        if last_stop.is_some_and(|last| now - last < SIGNAL_DEDUP_INTERVAL) {
                            continue;
                        }
                        last_stop = Some(now);
                        &stop
                    }
                };
                tracing::info!(signal, "signal received");
                counter.send_modify(|count| *count += 1);
            }
        });
        Ok(Signals { count, hangups, toggles })
    }

    /// Calls `toggle` at each SIGUSR1. Needs a tokio runtime.
    pub fn on_toggle(&self, toggle: impl Fn() + Send + 'static) {
        let mut toggles = self.toggles.clone();
        tokio::spawn(async move {
            while toggles.changed().await.is_ok() {
                toggle();
            }
        });
    }

    /// Returns a receiver that changes with each SIGHUP.
    pub fn hangups(&self) -> watch::Receiver<u32> {
        self.hangups.clone()
    }

    /// Completes when `n` of SIGTERM and SIGINT have arrived.
    pub fn nth(&self, n: u32) -> impl Future<Output = ()> + use<> {
        let mut count = self.count.clone();
        async move {
            if count.wait_for(|count| *count >= n).await.is_err() {
                std::future::pending::<()>().await; // the runtime is shutting down
            }
        }
    }
}

#[cfg(unix)]
struct Source {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    toggle: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn install() -> io::Result<Source> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Source {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            toggle: signal(SignalKind::user_defined1())?,
        })
    }

    async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => HANGUP,
            _ = self.toggle.recv() => TOGGLE,
        }
    }
}

#[cfg(windows)]
struct Source(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Source {
    fn install() -> io::Result<Source> {
        Ok(Source(tokio::signal::windows::ctrl_c()?))
    }

    async fn recv(&mut self) -> &'static str {
        let _ = self.0.recv().await;
        "ctrl-c"
    }
}
