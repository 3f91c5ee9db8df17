//! SIGTERM and SIGINT, counted: the first drains, the second cuts. SIGHUP reloads certificates, and
//! SIGUSR1 has the log say more, or what it was told to again.
//!
//! One request to stop may arrive twice at once (a supervisor that signals the process and then its
//! group), so what follows within a tenth of a second is not counted.
//!
//! Only `main` knows signals; the library is told to stop by futures that anyone can make.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Nobody presses Ctrl-C twice as fast, and no supervisor repeats itself as slowly.
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
    /// Replaces the default action (to die at once), so call it before the first socket is bound:
    /// from then on a signal is never lost. Needs a tokio runtime.
    ///
    /// # Errors
    /// The operating system refuses the handler.
    pub fn install() -> io::Result<Signals> {
        let mut source = Source::install()?;
        let (sender, count) = watch::channel(0);
        let (reload, hangups) = watch::channel(0);
        let (toggle, toggles) = watch::channel(0);
        tokio::spawn(async move {
            let mut last: Option<Instant> = None;
            loop {
                let signal = source.recv().await;
                if matches!(signal, HANGUP | TOGGLE) {
                    tracing::info!(signal, "signal received");
                    let told = if signal == HANGUP { &reload } else { &toggle };
                    told.send_modify(|times| *times += 1);
                    continue;
                }
                let now = Instant::now();
                if last.is_some_and(|last| now - last < SIGNAL_DEDUP_INTERVAL) {
                    continue;
                }
                last = Some(now);
                tracing::info!(signal, "signal received");
                sender.send_modify(|count| *count += 1);
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

    /// Changes with each SIGHUP.
    pub fn hangups(&self) -> watch::Receiver<u32> {
        self.hangups.clone()
    }

    /// Completes once `n` signals have arrived.
    pub fn nth(&self, n: u32) -> impl Future<Output = ()> + use<> {
        let mut count = self.count.clone();
        async move {
            if count.wait_for(|count| *count >= n).await.is_err() {
                std::future::pending::<()>().await; // the counting task is gone, and with it every signal
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
