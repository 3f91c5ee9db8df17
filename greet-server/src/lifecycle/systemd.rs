//! Notifies the service manager of the daemon's state (sd_notify), if NOTIFY_SOCKET is set.

use tokio::sync::watch;

#[derive(Debug, Clone, Copy)]
pub(crate) enum State {
    /// Connections are accepted.
    Ready,
    /// Files are being read again; [`State::Ready`] follows.
    Reloading,
    /// The drain has begun.
    Stopping,
}

#[cfg(unix)]
pub(crate) fn notify(state: State) {
    use sd_notify::{NotifyState, notify};

    let sent = match state {
        State::Ready => notify(&[NotifyState::Ready]),
        State::Reloading => {
            NotifyState::monotonic_usec_now().and_then(|now| notify(&[NotifyState::Reloading, now]))
        }
        State::Stopping => notify(&[NotifyState::Stopping]),
    };
    if let Err(error) = sent {
        tracing::warn!(%error, "service manager not notified");
    }
}

#[cfg(not(unix))]
pub(crate) fn notify(_: State) {}

/// Acknowledges the reload requests of a daemon without TLS files: systemd waits for READY.
pub(crate) async fn acknowledge_reloads(mut requests: watch::Receiver<u32>) {
    while requests.changed().await.is_ok() {
        notify(State::Reloading);
        tracing::info!("reload skipped: no TLS files");
        notify(State::Ready);
    }
}
