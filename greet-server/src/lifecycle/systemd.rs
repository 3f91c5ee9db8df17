//! Notifies the service manager of the daemon's state (sd_notify), if NOTIFY_SOCKET is set.
//!
//! The crate sd-notify takes the name of an abstract socket for a path, and those for D-Bus are large.

use tokio::sync::watch;

#[derive(Debug, Clone, Copy)]
pub(crate) enum State {
    /// Connections are accepted.
    Ready,
    /// Files are being read again; [`State::Ready`] follows.
    Reloading,
    /// The drain has begun.
    Stopping,
    /// The workers make progress.
    Watchdog,
}

#[cfg(unix)]
pub(crate) fn notify(state: State) {
    let sent = match state {
        State::Ready => send("READY=1\n"),
        State::Reloading => {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
            send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"))
        }
        State::Stopping => send("STOPPING=1\n"),
        State::Watchdog => send("WATCHDOG=1\n"),
    };
    if let Err(error) = sent {
        tracing::warn!(%error, "service manager not notified");
    }
}

/// Sends a message to the socket, whose name is a path, or abstract after an `@`.
#[cfg(unix)]
fn send(message: &str) -> std::io::Result<()> {
    use std::os::unix::net::UnixDatagram;

    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    let socket = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::unix::ffi::OsStrExt::as_bytes(&*name).strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;
        return socket
            .send_to_addr(message.as_bytes(), &SocketAddr::from_abstract_name(name)?)
            .map(|_length| ());
    }
    socket.send_to(message.as_bytes(), name).map(|_length| ())
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
