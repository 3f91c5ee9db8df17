//! What a supervisor is told (systemd's sd_notify): that we are ready, that we reload, that we stop.
//! Without NOTIFY_SOCKET nobody asked, and nothing is said.

use tokio::sync::watch;

/// What there is to say.
#[derive(Debug, Clone, Copy)]
pub(crate) enum News {
    /// Connections are accepted and calls answered.
    Ready,
    /// Files are read again; [`News::Ready`] follows.
    Reloading,
    /// The drain has begun.
    Stopping,
}

#[cfg(unix)]
pub(crate) fn tell(news: News) {
    use sd_notify::{NotifyState, notify};

    let told = match news {
        News::Ready => notify(&[NotifyState::Ready]),
        News::Reloading => {
            NotifyState::monotonic_usec_now().and_then(|now| notify(&[NotifyState::Reloading, now]))
        }
        News::Stopping => notify(&[NotifyState::Stopping]),
    };
    if let Err(error) = told {
        tracing::warn!(%error, ?news, "could not tell the supervisor");
    }
}

/// Answers every reload of a daemon that has no files to read again, so that nobody waits for it.
pub(crate) async fn reload_nothing(mut asked: watch::Receiver<u32>) {
    while asked.changed().await.is_ok() {
        tell(News::Reloading);
        tracing::info!("nothing to read again: there are no files of TLS");
        tell(News::Ready);
    }
}

#[cfg(not(unix))]
pub(crate) fn tell(_news: News) {}
