//! Notifies the service manager of the daemon's state (sd_notify).
//!
//! The crate sd-notify takes the name of an abstract socket for a path, and those for D-Bus are large.

use std::env;
use std::process;
use std::time::Duration;

use tokio::sync::watch;

/// The service manager that started the daemon; the default is none.
#[derive(Debug, Clone, Default)]
pub struct ServiceManager {
    /// The name of its socket: a path, or abstract after an `@`.
    #[cfg(unix)]
    socket: Option<std::ffi::OsString>,
    /// The time without a notification after which it restarts the daemon.
    pub(crate) watchdog_timeout: Option<Duration>,
}

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

impl ServiceManager {
    /// Returns the service manager of NOTIFY_SOCKET. WATCHDOG_USEC has its timeout, unless WATCHDOG_PID
    /// is another process.
    pub fn from_env() -> ServiceManager {
        let number = |name| env::var(name).ok().map(|value| value.parse::<u64>().ok());
        let is_other = number("WATCHDOG_PID").is_some_and(|pid| pid != Some(process::id().into()));
        let micros = number("WATCHDOG_USEC").flatten().filter(|micros| *micros > 0 && !is_other);
        ServiceManager {
            #[cfg(unix)]
            socket: env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
            watchdog_timeout: micros.map(Duration::from_micros),
        }
    }

    #[cfg(unix)]
    pub(crate) fn notify(&self, state: State) {
        let sent = match state {
            State::Ready => self.send("READY=1\n"),
            State::Reloading => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
                self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"))
            }
            State::Stopping => self.send("STOPPING=1\n"),
            State::Watchdog => self.send("WATCHDOG=1\n"),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "service manager not notified");
        }
    }

    #[cfg(unix)]
    fn send(&self, message: &str) -> std::io::Result<()> {
        use std::os::unix::net::UnixDatagram;

        let Some(name) = &self.socket else {
            return Ok(());
        };
        let socket = UnixDatagram::unbound()?;
        #[cfg(target_os = "linux")]
        if let Some(name) = std::os::unix::ffi::OsStrExt::as_bytes(&**name).strip_prefix(b"@") {
            use std::os::linux::net::SocketAddrExt as _;
            use std::os::unix::net::SocketAddr;
            return socket
                .send_to_addr(message.as_bytes(), &SocketAddr::from_abstract_name(name)?)
                .map(|_length| ());
        }
        socket.send_to(message.as_bytes(), name).map(|_length| ())
    }

    #[cfg(not(unix))]
    pub(crate) fn notify(&self, _: State) {}

    /// Acknowledges the reload requests of a daemon without TLS files: systemd waits for READY.
    pub(crate) async fn acknowledge_reloads(self, mut requests: watch::Receiver<u32>) {
        while requests.changed().await.is_ok() {
            self.notify(State::Reloading);
            tracing::info!("reload skipped: no TLS files");
            self.notify(State::Ready);
        }
    }
}
