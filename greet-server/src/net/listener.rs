//! Accepts connections on TCP and Unix sockets.

use std::io;
use std::net::{self, IpAddr, SocketAddr};
#[cfg(unix)]
use std::os::unix;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::SockRef;
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::address::Address;
use super::tls::Tls;
#[cfg(unix)]
use super::unix_socket::SocketFile;
use crate::config::Scheme;
use crate::grpc::connection_state::Peer;

/// Bytes that a socket may buffer in each direction: 20 Mbit/s at a round trip of 100 ms.
const SOCKET_BUFFER_BYTES: usize = 256 * 1_024;

/// Length of the queue of completed connections; the kernel caps it at its own limit.
pub(super) const BACKLOG: i32 = 1_024;

/// A listening socket. Its drop closes it and removes the file that it owns.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener, SocketAddr, Option<Scheme>),
    #[cfg(unix)]
    Unix(UnixListener, UnixSocketFile),
}

/// The file of a Unix socket.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) enum UnixSocketFile {
    /// Created by the daemon, which removes it.
    Owned(SocketFile),
    /// The path of a supervisor's file, which stays.
    Inherited(PathBuf),
}

/// An accepted connection: non-blocking, and registered with no runtime until its worker has it.
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

    /// Limits what the kernel buffers for the peer, which otherwise grows to several MiB each way. Failures
    /// are ignored: the connection works without.
    pub(crate) fn limit_buffers(&self) {
        if let Accepted::Tcp(stream, _) | Accepted::Tls(stream, _, _) = self {
            let socket = SockRef::from(stream);
            let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
            #[cfg(target_os = "linux")]
            let _ = socket.set_tcp_notsent_lowat(SOCKET_BUFFER_BYTES as u32);
        }
    }

    /// Enables TCP keepalive, and closes a connection without acknowledgements for `timeout`
    /// (TCP_USER_TIMEOUT, gRFC A18). An HTTP/2 PING cannot detect such a connection while earlier
    /// bytes are queued before it. Failures are ignored: the connection works without.
    pub(crate) fn enable_keepalive(&self, timeout: Duration) {
        if let Accepted::Tcp(stream, _) | Accepted::Tls(stream, _, _) = self {
            let socket = SockRef::from(stream);
            let _ = socket.set_keepalive(true);
            #[cfg(target_os = "linux")]
            let _ = socket.set_tcp_user_timeout(Some(timeout));
        }
        #[cfg(not(target_os = "linux"))]
        let _ = timeout;
    }

    /// Adds TLS with the current certificate, if the listener of the connection has TLS.
    pub(crate) fn with_tls(self, tls: Option<&watch::Receiver<Tls>>) -> Accepted {
        match (self, tls) {
            (Accepted::Tcp(stream, peer), Some(tls)) => {
                Accepted::Tls(stream, peer, tls.borrow().config.clone())
            }
            (accepted, _) => accepted,
        }
    }
}

impl Listener {
    pub(crate) fn tcp(socket: net::TcpListener, scheme: Option<Scheme>) -> io::Result<Listener> {
        let address = socket.local_addr()?;
        Ok(Listener::Tcp(TcpListener::from_std(socket)?, address, scheme))
    }

    /// Returns whether connections are in plaintext even if the server has a certificate. A Unix socket
    /// crosses no network, so it needs no TLS.
    pub(crate) fn is_plaintext(&self) -> bool {
        match self {
            Listener::Tcp(_, _, scheme) => *scheme == Some(Scheme::Http),
            #[cfg(unix)]
            Listener::Unix(..) => true,
        }
    }

    /// Returns the address of the listener, for a server with or without a certificate.
    pub(crate) fn address(&self, has_certificate: bool) -> Address {
        match self {
            Listener::Tcp(_, address, _) => {
                let has_tls = has_certificate && !self.is_plaintext();
                Address::Tcp { address: *address, has_tls }
            }
            #[cfg(unix)]
            Listener::Unix(_, UnixSocketFile::Owned(file)) => Address::Unix(file.path().to_owned()),
            #[cfg(unix)]
            Listener::Unix(_, UnixSocketFile::Inherited(path)) => Address::Unix(path.clone()),
        }
    }

    /// Moves the listener to the caller's runtime.
    pub(crate) fn into_current_runtime(self) -> io::Result<Listener> {
        Ok(match self {
            Listener::Tcp(socket, address, scheme) => {
                Listener::Tcp(TcpListener::from_std(socket.into_std()?)?, address, scheme)
            }
            #[cfg(unix)]
            Listener::Unix(socket, file) => {
                Listener::Unix(UnixListener::from_std(socket.into_std()?)?, file)
            }
        })
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Listener::Tcp(socket, ..) => {
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

    /// Stops listening. Returns the connections that the kernel has completed already.
    pub(crate) fn close(self) -> io::Result<Vec<Accepted>> {
        match self {
            Listener::Tcp(socket, ..) => {
                let socket = socket.into_std()?;
                Ok(accept_queued(|| {
                    let (stream, peer) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(tcp(stream, peer))
                }))
            }
            #[cfg(unix)]
            Listener::Unix(socket, file) => {
                drop(file); // no new client connects meanwhile
                let socket = socket.into_std()?;
                Ok(accept_queued(|| {
                    let (stream, _) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(Accepted::Unix(stream))
                }))
            }
        }
    }
}

/// Accepts until the queue is empty and skips failed connections. Accepts at most the length of the
/// queue, because clients that keep connecting must not delay the drain.
fn accept_queued(mut accept: impl FnMut() -> io::Result<Accepted>) -> Vec<Accepted> {
    let accepted = (0..BACKLOG).map(|_| accept());
    let until_empty = accepted.take_while(
        |accepted| !matches!(accepted, Err(error) if error.kind() == io::ErrorKind::WouldBlock),
    );
    until_empty.filter_map(Result::ok).collect()
}

fn tcp(stream: net::TcpStream, mut peer: SocketAddr) -> Accepted {
    // A dual-stack socket has IPv4 peers as `::ffff:1.2.3.4`; logs and limits use the plain form.
    if let IpAddr::V4(address) = peer.ip().to_canonical() {
        peer = SocketAddr::new(address.into(), peer.port());
    }
    // Nagle's algorithm would delay each small frame by a round trip. The option fails only if the
    // peer is gone; then the first read fails too.
    let _ = stream.set_nodelay(true);
    Accepted::Tcp(stream, peer)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn accepted_connections_have_keepalive_and_user_timeout() {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        let accepted = tcp(stream, peer);
        accepted.enable_keepalive(Duration::from_secs(20));
        let Accepted::Tcp(stream, _) = &accepted else { panic!("{accepted:?}") };
        let socket = SockRef::from(stream);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(20)));
        assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap());
    }
}
