//! A bound socket, TCP or Unix, and its rules: a stale socket file is cleaned up, a live one is
//! never stolen, and only our own file is removed at the end.

use std::io;
use std::net::{self, SocketAddr};
#[cfg(unix)]
use std::os::unix;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::tls::Tls;
#[cfg(unix)]
use super::unix_socket::SocketFile;
use crate::config::ListenAddr;
use crate::grpc::connection_state::Peer;

/// Connections that the kernel completes before we accept them; it caps this at its own limit.
const BACKLOG: i32 = 1_024;

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address}")]
pub struct BindError {
    /// As it was given.
    pub address: ListenAddr,
    /// What the operating system said.
    pub source: io::Error,
}

/// A socket that listens. Dropping it closes it and removes its file.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, Place),
}

/// Whose a Unix socket's file is.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) enum Place {
    /// We made it and remove it.
    Ours(SocketFile),
    /// A supervisor's, who gave us the socket.
    Theirs(String),
}

/// A connection on its way from the acceptor's runtime to a worker's: non-blocking, in neither.
#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp(net::TcpStream, SocketAddr),
    Tls(net::TcpStream, SocketAddr, Arc<ServerConfig>),
    #[cfg(unix)]
    Unix(unix::net::UnixStream),
}

impl Accepted {
    pub(crate) fn peer(&self) -> Peer {
        match self {
            Accepted::Tcp(_, peer) | Accepted::Tls(_, peer, _) => Peer::Tcp(*peer),
            #[cfg(unix)]
            Accepted::Unix(_) => Peer::Unix,
        }
    }

    /// Has the kernel look after the connection as well: ask an idle peer whether it is there, and
    /// give up one that acknowledges nothing for `timeout` (gRFC A18), which a PING cannot tell while
    /// what was sent before it waits. Without it the connection is served all the same.
    pub(crate) fn watch(&self, timeout: Duration) {
        if let Accepted::Tcp(stream, _) | Accepted::Tls(stream, _, _) = self {
            let _ = socket2::SockRef::from(stream).set_keepalive(true);
        }
        #[cfg(target_os = "linux")]
        if let Accepted::Tcp(stream, _) | Accepted::Tls(stream, _, _) = self {
            let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(timeout));
        }
        #[cfg(not(target_os = "linux"))]
        let _ = timeout;
    }

    /// TLS on TCP, with what is served at this moment. A Unix socket stays as it is: nothing crosses
    /// a network there.
    pub(crate) fn secured(self, tls: Option<&watch::Receiver<Tls>>) -> Accepted {
        match (self, tls) {
            (Accepted::Tcp(stream, peer), Some(tls)) => {
                Accepted::Tls(stream, peer, tls.borrow().config.clone())
            }
            (accepted, _) => accepted,
        }
    }
}

impl Listener {
    /// Needs a tokio runtime.
    pub(crate) async fn bind(
        address: &ListenAddr,
        reuse_port: bool,
    ) -> Result<Listener, BindError> {
        let bound = match address {
            ListenAddr::Tcp(host_port) => bind_tcp(host_port, reuse_port).await.map(Listener::Tcp),
            #[cfg(unix)]
            ListenAddr::Unix(path) => SocketFile::bind(path, BACKLOG).and_then(|(socket, file)| {
                Ok(Listener::Unix(UnixListener::from_std(socket)?, Place::Ours(file)))
            }),
            #[cfg(not(unix))]
            ListenAddr::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        bound.map_err(|source| BindError { address: address.clone(), source })
    }

    /// What a client connects to, as it is announced.
    pub(crate) fn url(&self, has_tls: bool) -> String {
        let scheme = if has_tls { "https" } else { "http" };
        match self {
            Listener::Tcp(socket) => match socket.local_addr() {
                Ok(address) => format!("{scheme}://{address}"),
                Err(error) => format!("{scheme}://? ({error})"),
            },
            #[cfg(unix)]
            Listener::Unix(_, Place::Ours(file)) => format!("unix:{}", file.path().display()),
            #[cfg(unix)]
            Listener::Unix(_, Place::Theirs(path)) => format!("unix:{path}"),
        }
    }

    /// The same, in the runtime of whoever calls this.
    pub(crate) fn into_current_runtime(self) -> io::Result<Listener> {
        Ok(match self {
            Listener::Tcp(socket) => Listener::Tcp(TcpListener::from_std(socket.into_std()?)?),
            #[cfg(unix)]
            Listener::Unix(socket, place) => {
                Listener::Unix(UnixListener::from_std(socket.into_std()?)?, place)
            }
        })
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Listener::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok(tcp(stream.into_std()?, peer))
            }
            #[cfg(unix)]
            Listener::Unix(socket, _) => {
                let (stream, _) = socket.accept().await?;
                Ok(Accepted::Unix(stream.into_std()?))
            }
        }
    }

    /// Stops listening. Returns whoever the kernel had let in already: they were promised a server.
    pub(crate) fn close(self) -> io::Result<Vec<Accepted>> {
        match self {
            Listener::Tcp(socket) => {
                let socket = socket.into_std()?;
                Ok(queue(|| {
                    let (stream, peer) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(tcp(stream, peer))
                }))
            }
            #[cfg(unix)]
            Listener::Unix(socket, file) => {
                drop(file); // nobody new finds us while the queue is emptied
                let socket = socket.into_std()?;
                Ok(queue(|| {
                    let (stream, _) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(Accepted::Unix(stream))
                }))
            }
        }
    }
}

/// Accepts until nobody is left. A connection that broke meanwhile does not cost the others; and
/// more than fit into the queue are new ones, who would keep us for as long as they come.
fn queue(mut accept: impl FnMut() -> io::Result<Accepted>) -> Vec<Accepted> {
    let accepted = (0..BACKLOG).map(|_| accept());
    let until_empty = accepted.take_while(
        |accepted| !matches!(accepted, Err(error) if error.kind() == io::ErrorKind::WouldBlock),
    );
    until_empty.filter_map(Result::ok).collect()
}

fn tcp(stream: net::TcpStream, peer: SocketAddr) -> Accepted {
    // Small frames are all there is; Nagle's algorithm would hold each back for a round trip. A
    // socket that refuses it is one whose peer has gone, and its first read will say so.
    let _ = stream.set_nodelay(true);
    Accepted::Tcp(stream, peer)
}

async fn bind_tcp(host_port: &str, reuse_port: bool) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host(host_port).await? {
        match bind_address(address, reuse_port) {
            Ok(listener) => return TcpListener::from_std(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_address(address: SocketAddr, reuse_port: bool) -> io::Result<net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT. (On Windows the flag means theft.)
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(reuse_port)?;
    #[cfg(not(unix))]
    if reuse_port {
        return Err(io::ErrorKind::Unsupported.into());
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_looks_after_a_connection_too() {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        let accepted = tcp(stream, peer);
        accepted.watch(Duration::from_secs(20));
        let Accepted::Tcp(stream, _) = &accepted else { panic!("{accepted:?}") };
        let socket = socket2::SockRef::from(stream);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(20)));
        assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap());
    }
}
