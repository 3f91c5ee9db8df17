//! Sockets that a supervisor opened for us (systemd's socket activation): they are there before we
//! are, so no client is refused while we start, and they stay when we leave.

use std::io;

use listenfd::ListenFd;
use tokio::net::{TcpListener, UnixListener};

use super::listener::{Listener, Place};

/// Those that the environment names (LISTEN_FDS, LISTEN_PID); none without it.
pub(crate) fn sockets() -> io::Result<Vec<Listener>> {
    let mut inherited = ListenFd::from_env();
    (0..inherited.len()).map(|index| listener(&mut inherited, index)).collect()
}

fn listener(inherited: &mut ListenFd, index: usize) -> io::Result<Listener> {
    // The wrong kind of socket is an error, and the socket is still there for the other question.
    if let Ok(Some(tcp)) = inherited.take_tcp_listener(index) {
        tcp.set_nonblocking(true)?;
        return Ok(Listener::Tcp(TcpListener::from_std(tcp)?));
    }
    let unix = inherited.take_unix_listener(index)?.ok_or(io::ErrorKind::InvalidInput)?;
    unix.set_nonblocking(true)?;
    let path = unix.local_addr()?.as_pathname().map(|path| path.display().to_string());
    let place = Place::Theirs(path.unwrap_or_else(|| "an abstract address".to_owned()));
    Ok(Listener::Unix(UnixListener::from_std(unix)?, place))
}
