//! What a supervisor is told (systemd's sd_notify): that we are ready, that we reload, that we stop.
//! Without NOTIFY_SOCKET nobody asked, and nothing is said.

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

#[cfg(not(unix))]
pub(crate) fn tell(_news: News) {}
