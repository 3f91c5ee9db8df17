//! An address to listen on: `HOST:PORT` or `unix:PATH`.

use std::fmt;
use std::net;
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on: `HOST:PORT` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// A host name or IP address with a port; port 0 picks a free one.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let address = match given.strip_prefix("unix:") {
            Some("") => None,
            Some(path) => Some(ListenAddr::Unix(path.into())),
            None => given
                .rsplit_once(':')
                .filter(|(host, port)| is_host(host) && is_port(port))
                .map(|_| ListenAddr::Tcp(given.to_owned())),
        };
        address.ok_or_else(|| format!("{given:?} is not HOST:PORT or unix:PATH"))
    }
}

/// Accepts a name, an IPv4 address, or an IPv6 address in brackets.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addr_is_host_and_port_or_unix_path() {
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
            assert!(bad.parse::<ListenAddr>().is_err(), "{bad}");
        }
    }
}
