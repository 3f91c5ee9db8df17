//! Takes over the sockets of a supervisor (systemd's socket activation). They listen before the daemon
//! starts and after it stops, so that clients wait instead of being refused.

use std::io;

use listenfd::ListenFd;
use tokio::net::{TcpListener, UnixListener};

use super::listener::{Listener, UnixSocketFile};

/// Returns the sockets that LISTEN_FDS and LISTEN_PID name.
pub(crate) fn sockets() -> io::Result<Vec<Listener>> {
    let mut inherited = ListenFd::from_env();
    (0..inherited.len()).map(|index| listener(&mut inherited, index)).collect()
}

fn listener(inherited: &mut ListenFd, index: usize) -> io::Result<Listener> {
    // A socket of the wrong kind is an error, and stays available to the other function.
    if let Ok(Some(tcp)) = inherited.take_tcp_listener(index) {
        tcp.set_nonblocking(true)?;
        return Ok(Listener::Tcp(TcpListener::from_std(tcp)?));
    }
    let unix = inherited.take_unix_listener(index)?.ok_or(io::ErrorKind::InvalidInput)?;
    unix.set_nonblocking(true)?;
    let path = unix.local_addr()?.as_pathname().map(|path| path.display().to_string());
    let path = path.unwrap_or_else(|| "(abstract)".to_owned());
    Ok(Listener::Unix(UnixListener::from_std(unix)?, UnixSocketFile::Inherited(path)))
}
