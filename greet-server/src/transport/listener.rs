//! A bound socket, TCP or Unix, and its rules: a stale socket file is cleaned up, a live one is
//! never stolen, and only our own file is removed at the end.

use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
#[cfg(unix)]
use std::os::unix;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::connection::Peer;
use super::tls::Tls;
#[cfg(unix)]
use super::unix_path::SocketFile;

/// Connections that the kernel completes before we accept them; it caps this at its own limit.
const BACKLOG: i32 = 1_024;

/// Where to listen: `HOST:PORT` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// A host name or address with a port; port 0 picks a free one.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for ListenAddr {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let expected = "HOST:PORT or unix:PATH";
        if let Some(path) = given.strip_prefix("unix:") {
            return if path.is_empty() { Err(expected) } else { Ok(ListenAddr::Unix(path.into())) };
        }
        match given.rsplit_once(':') {
            Some((host, port)) if is_host(host) && is_port(port) => {
                Ok(ListenAddr::Tcp(given.to_owned()))
            }
            _ => Err(expected),
        }
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '/', '[', ']', '@', ' ']),
    }
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddr::Tcp(host_port) => write!(f, "{host_port}"),
            ListenAddr::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

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
    Unix(UnixListener, SocketFile),
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

    /// Has the kernel give the connection up when the peer acknowledges nothing for `timeout`
    /// (gRFC A18): a PING cannot tell while what was sent before it waits in the kernel.
    pub(crate) fn watch(&self, timeout: Duration) {
        #[cfg(target_os = "linux")]
        if let Accepted::Tcp(stream, _) | Accepted::Tls(stream, _, _) = self {
            // Without it the connection is served all the same; the keepalive is the other guard.
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
    pub(crate) async fn bind(address: &ListenAddr) -> Result<Listener, BindError> {
        let bound = match address {
            ListenAddr::Tcp(host_port) => bind_tcp(host_port).await.map(Listener::Tcp),
            #[cfg(unix)]
            ListenAddr::Unix(path) => SocketFile::bind(path, BACKLOG).and_then(|(socket, file)| {
                Ok(Listener::Unix(UnixListener::from_std(socket)?, file))
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
            Listener::Unix(_, file) => format!("unix:{}", file.path().display()),
        }
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

async fn bind_tcp(host_port: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host(host_port).await? {
        match bind_address(address) {
            Ok(listener) => return TcpListener::from_std(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_address(address: SocketAddr) -> io::Result<net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT. (On Windows the flag means theft.)
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port_or_a_path() {
        for good in
            ["0.0.0.0:50051", "localhost:0", "[::1]:50051", "unix:/run/greet.sock", "unix:x"]
        {
            assert_eq!(good.parse::<ListenAddr>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "localhost",
            ":50051",
            "host:port",
            "host:65536",
            "unix:",
            "http://x:1",
            "1.2.3.4:1:2",
            "host:+1",
        ] {
            assert!(bad.parse::<ListenAddr>().is_err(), "{bad} must be refused");
        }
    }
}
