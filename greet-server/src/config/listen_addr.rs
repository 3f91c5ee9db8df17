//! Where to listen, as it is typed: `HOST:PORT` or `unix:PATH`.

use std::fmt;
use std::net;
use std::path::PathBuf;
use std::str::FromStr;

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
