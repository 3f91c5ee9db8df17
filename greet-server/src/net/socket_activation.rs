//! Takes over the sockets of a supervisor (systemd's socket activation). They listen before the
//! daemon starts and after it stops, so that the kernel queues clients meanwhile and refuses none.

use std::env;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process;

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::UnixListener;

use super::listener::{Listener, UnixSocketFile};

/// Name of the admin port's sockets (`FileDescriptorName=`). All others serve gRPC.
const ADMIN: &str = "admin";
/// The descriptor of the first socket, by sd_listen_fds(3).
const FIRST_DESCRIPTOR: usize = 3;

/// The sockets of a supervisor.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) admin: Vec<Listener>,
}

/// Returns the sockets that LISTEN_FDS names, if LISTEN_PID is this process: both variables are
/// inherited by processes for which they are not meant.
pub(crate) fn sockets() -> io::Result<Inherited> {
    let mut sockets = Inherited::default();
    let pid = env::var("LISTEN_PID").ok().and_then(|pid| pid.parse::<u32>().ok());
    if pid != Some(process::id()) {
        if env::var_os("LISTEN_FDS").is_some() {
            tracing::warn!("inherited sockets ignored: LISTEN_PID is not this process");
        }
        return Ok(sockets);
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut inherited = ListenFd::from_env();
    for index in 0..inherited.len() {
        let listener = listener(&mut inherited, index).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("descriptor {}: {error}", FIRST_DESCRIPTOR + index),
            )
        })?;
        match names.next() {
            Some(ADMIN) => sockets.admin.push(listener),
            _ => sockets.listeners.push(listener),
        }
    }
    Ok(sockets)
}

fn listener(inherited: &mut ListenFd, index: usize) -> io::Result<Listener> {
    // A socket of the wrong kind is an error, and stays available to the other function.
    if let Ok(Some(tcp)) = inherited.take_tcp_listener(index) {
        check_listening(&SockRef::from(&tcp))?;
        tcp.set_nonblocking(true)?;
        return Listener::tcp(tcp, None);
    }
    let unix = inherited.take_unix_listener(index).ok().flatten().ok_or_else(|| {
        io::Error::new(ErrorKind::InvalidInput, "not a stream socket of TCP or a Unix path")
    })?;
    check_listening(&SockRef::from(&unix))?;
    unix.set_nonblocking(true)?;
    let path = unix.local_addr()?.as_pathname().map(Path::to_owned);
    let path = path.unwrap_or_else(|| "(abstract)".into());
    Ok(Listener::Unix(UnixListener::from_std(unix)?, UnixSocketFile::Inherited(path)))
}

/// Rejects a connection, on which no accept would ever succeed.
fn check_listening(socket: &SockRef<'_>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if !socket.is_listener()? {
        let problem = "the socket does not listen; a socket unit needs Accept=no";
        return Err(io::Error::new(ErrorKind::InvalidInput, problem));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
    Ok(())
}
