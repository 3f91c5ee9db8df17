//! The address of a bound listener.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The address of a bound listener. Its text is the URL that clients connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `http://HOST:PORT`, or `https://HOST:PORT` with TLS.
    Tcp {
        /// The bound address; its port is never 0.
        address: SocketAddr,
        /// Whether the listener expects TLS.
        has_tls: bool,
    },
    /// `unix:PATH`; `(abstract)` in place of the path of a supervisor's socket that has none.
    Unix(PathBuf),
}

impl Address {
    /// Returns the address and the port; `None` for a Unix socket.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp { address, .. } => Some(*address),
            Address::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { address, has_tls: false } => write!(f, "http://{address}"),
            Address::Tcp { address, has_tls: true } => write!(f, "https://{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
