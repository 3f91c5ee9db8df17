//! Resolves listen addresses and binds a socket to each.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::{self, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
#[cfg(unix)]
use tokio::net::UnixListener;

#[cfg(unix)]
use super::listener::UnixSocketFile;
use super::listener::{BACKLOG, Listener};
#[cfg(unix)]
use super::unix_socket::SocketFile;
use crate::config::{ListenAddr, Scheme};

/// A listen address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address}")]
pub struct BindError {
    /// The configured address.
    pub address: ListenAddr,
    /// The error of the operating system.
    pub source: io::Error,
}

/// Binds every address; a name has a listener for each of its addresses. Needs a tokio runtime.
pub(crate) async fn bind_all<'a>(
    addresses: impl IntoIterator<Item = &'a ListenAddr>,
    reuse_port: bool,
) -> Result<Vec<Listener>, BindError> {
    let mut resolved = Vec::new();
    for address in addresses {
        let error = |source| BindError { address: address.clone(), source };
        resolved.push((address, resolve(address).await.map_err(error)?));
    }
    let all = resolved.iter().flat_map(|(_, addresses)| addresses);
    let fixed_ipv4 = all.filter(|address| address.is_ipv4() && address.port() != 0);
    let ipv4_ports = fixed_ipv4.map(SocketAddr::port).collect();
    let mut tcp = TcpBinder { reuse_port, ipv4_ports, bound: BTreeMap::new() };
    let mut listeners = Vec::new();
    for (address, resolved) in resolved {
        let bound = match address {
            ListenAddr::Tcp { scheme, .. } => tcp.bind(&resolved, *scheme),
            #[cfg(unix)]
            ListenAddr::Unix { path, mode } => {
                SocketFile::bind(path, *mode, BACKLOG).and_then(|(socket, file)| {
                    let socket = UnixListener::from_std(socket)?;
                    Ok(vec![Listener::Unix(socket, UnixSocketFile::Owned(file))])
                })
            }
            #[cfg(not(unix))]
            ListenAddr::Unix { .. } => Err(ErrorKind::Unsupported.into()),
        };
        let error = |source| BindError { address: address.clone(), source };
        listeners.extend(bound.map_err(error)?);
    }
    Ok(listeners)
}

/// Returns the addresses of a TCP address; none for a Unix socket.
async fn resolve(address: &ListenAddr) -> io::Result<Vec<SocketAddr>> {
    let ListenAddr::Tcp { host, port, .. } = address else {
        return Ok(Vec::new());
    };
    let mut resolved: Vec<_> = tokio::net::lookup_host((host.as_str(), *port)).await?.collect();
    let mut seen = BTreeSet::new();
    resolved.retain(|address| seen.insert(*address)); // a hosts file may list an address twice
    if resolved.is_empty() {
        return Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
    }
    Ok(resolved)
}

struct TcpBinder {
    reuse_port: bool,
    /// Ports of the IPv4 addresses. The IPv6 wildcard takes only IPv6 there.
    ipv4_ports: BTreeSet<u16>,
    /// Two hosts may have the same address, and then need the same scheme.
    bound: BTreeMap<SocketAddr, Option<Scheme>>,
}

impl TcpBinder {
    /// Binds the addresses of one host. Skips those that this machine does not have, unless it has
    /// none: a hosts file often has `::1 localhost` where IPv6 is disabled.
    fn bind(
        &mut self,
        addresses: &[SocketAddr],
        scheme: Option<Scheme>,
    ) -> io::Result<Vec<Listener>> {
        let (mut listeners, mut missing) = (Vec::new(), None);
        for address in addresses {
            let is_fixed = address.port() != 0;
            let listed = if is_fixed { self.bound.insert(*address, scheme) } else { None };
            match listed {
                Some(listed) if listed == scheme => continue,
                Some(_) => {
                    let problem = format!("{address} is listed with another scheme as well");
                    return Err(io::Error::new(ErrorKind::InvalidInput, problem));
                }
                None => {}
            }
            match self.bind_address(*address) {
                Ok(listener) => listeners.push(Listener::tcp(listener, scheme)?),
                Err(error) if addresses.len() > 1 && is_missing(&error) => {
                    tracing::warn!(%address, %error, "listen address skipped");
                    missing = Some(error);
                }
                Err(error) if addresses.len() > 1 => {
                    return Err(io::Error::new(error.kind(), format!("{address}: {error}")));
                }
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(error) if listeners.is_empty() => Err(error),
            _ => Ok(listeners),
        }
    }

    fn bind_address(&self, address: SocketAddr) -> io::Result<net::TcpListener> {
        let is_shared = self.ipv4_ports.contains(&address.port());
        let is_wildcard = address.is_ipv6() && address.ip().is_unspecified();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
        let socket = match socket {
            // Without IPv6, the addresses of the machine are those of IPv4.
            Err(error) if is_wildcard && !is_shared && is_unsupported(&error) => {
                return self.bind_address((Ipv4Addr::UNSPECIFIED, address.port()).into());
            }
            socket => socket?,
        };
        if is_wildcard {
            // Independent of the system's default (net.ipv6.bindv6only).
            socket.set_only_v6(is_shared)?;
        }
        // A restart must not wait for old connections in TIME_WAIT. On Windows the option would let
        // another process bind the same port.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(self.reuse_port)?;
        #[cfg(not(unix))]
        if self.reuse_port {
            return Err(ErrorKind::Unsupported.into());
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into()).map_err(|error| match address {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
                let problem = "a link-local address needs its zone, as in [fe80::1%eth0]";
                io::Error::new(error.kind(), problem)
            }
            _ => error,
        })?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable || is_unsupported(error)
}

/// Returns whether the system does not support the family of an address.
fn is_unsupported(error: &io::Error) -> bool {
    #[cfg(unix)]
    let code = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    #[cfg(windows)]
    let code = 10_047; // WSAEAFNOSUPPORT
    error.raw_os_error() == Some(code)
}
