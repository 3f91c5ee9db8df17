//! An address to listen on: `HOST:PORT` with an optional scheme, or `unix:PATH` with an optional mode
//! of the socket file.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The only parameter of a Unix socket's address.
const MODE: &str = "mode=";
/// Permission bits of user, group and others.
const MAX_MODE: u32 = 0o777;

/// An address to listen on: `HOST:PORT`, `http://HOST:PORT`, `https://HOST:PORT`, `unix:PATH` or
/// `unix:PATH?mode=0660`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// A TCP address.
    Tcp {
        /// Without one, the listener has TLS if the server has a certificate.
        scheme: Option<Scheme>,
        /// A name, an IPv4 address, or an IPv6 address without brackets, such as `fe80::1%eth0`.
        host: String,
        /// Port 0 picks a free one.
        port: u16,
    },
    /// A Unix socket.
    Unix {
        /// The path of its file.
        path: PathBuf,
        /// Permission bits of the file. Without them the umask decides.
        mode: Option<u32>,
    },
}

/// The scheme of a TCP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plaintext, even if the server has a certificate.
    Http,
    /// TLS, for which the server needs a certificate.
    Https,
}

impl Scheme {
    const ALL: [Scheme; 2] = [Scheme::Http, Scheme::Https];

    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl ListenAddr {
    /// Returns whether the scheme is `https`.
    pub(crate) fn is_https(&self) -> bool {
        matches!(self, ListenAddr::Tcp { scheme: Some(Scheme::Https), .. })
    }

    /// Returns whether it is plaintext also beside a certificate.
    pub(crate) fn is_plaintext(&self) -> bool {
        !matches!(self, ListenAddr::Tcp { scheme: None | Some(Scheme::Https), .. })
    }

    /// Returns the address without its scheme or mode. Two listeners cannot share it.
    pub(super) fn bare(&self) -> ListenAddr {
        match self.clone() {
            ListenAddr::Tcp { host, port, .. } => ListenAddr::Tcp { scheme: None, host, port },
            ListenAddr::Unix { path, .. } => ListenAddr::Unix { path, mode: None },
        }
    }
}

impl From<SocketAddr> for ListenAddr {
    fn from(address: SocketAddr) -> ListenAddr {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        ListenAddr::Tcp { scheme: None, host, port: address.port() }
    }
}

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        if let Some(path) = given.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            let (path, mode) = match path.split_once('?') {
                None => (path, None),
                Some((path, parameter)) => (path, Some(mode(given, parameter)?)),
            };
            return Ok(ListenAddr::Unix { path: path.into(), mode });
        }
        let Some((scheme, address)) = given.split_once("://") else {
            let address = tcp(None, given);
            return address.ok_or_else(|| format!("{given:?} is not HOST:PORT or unix:PATH"));
        };
        // Schemes are case-insensitive (RFC 3986, section 3.1).
        let mut schemes = Scheme::ALL.into_iter();
        let scheme = schemes.find(|known| scheme.eq_ignore_ascii_case(known.name()));
        let address = scheme.and_then(|scheme| tcp(Some(scheme), address));
        address.ok_or_else(|| format!("{given:?} is not http://HOST:PORT or https://HOST:PORT"))
    }
}

fn mode(given: &str, parameter: &str) -> Result<u32, String> {
    let digits = parameter.strip_prefix(MODE);
    let is_octal = |digits: &&str| digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = digits.filter(is_octal).and_then(|digits| u32::from_str_radix(digits, 8).ok());
    mode.filter(|mode| *mode <= MAX_MODE).ok_or_else(|| {
        format!("{given:?} has a parameter that is not ?{MODE} with octal digits up to 0777")
    })
}

fn tcp(scheme: Option<Scheme>, given: &str) -> Option<ListenAddr> {
    let (host, port) = given.rsplit_once(':')?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(address) => ipv6(address)?,
        None => Some(host).filter(|host| is_name_or_ipv4(host))?.to_owned(),
    };
    let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(ListenAddr::Tcp { scheme, host, port: port.parse().ok()? })
}

fn is_name_or_ipv4(host: &str) -> bool {
    !host.is_empty() && !host.contains([':', '/', '[', ']', '@', '%', ' '])
}

/// Accepts the zone of a link-local address as in RFC 4007, and as in a URL (RFC 6874: `%25`).
fn ipv6(given: &str) -> Option<String> {
    let Some((address, zone)) = given.split_once('%') else {
        return given.parse::<Ipv6Addr>().ok().map(|_| given.to_owned());
    };
    let zone = zone.strip_prefix("25").filter(|zone| !zone.is_empty()).unwrap_or(zone);
    let is_valid = !zone.is_empty() && !zone.contains(['%', '/', '[', ']', ' ']);
    (is_valid && address.parse::<Ipv6Addr>().is_ok()).then(|| format!("{address}%{zone}"))
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ListenAddr::Tcp { scheme: Some(scheme), .. } = self {
            write!(f, "{}://", scheme.name())?;
        }
        match self {
            ListenAddr::Tcp { host, port, .. } if host.contains(':') => {
                write!(f, "[{host}]:{port}")
            }
            ListenAddr::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            ListenAddr::Unix { path, mode: None } => write!(f, "unix:{}", path.display()),
            ListenAddr::Unix { path, mode: Some(mode) } => {
                write!(f, "unix:{}?{MODE}{mode:04o}", path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addr_is_host_and_port_or_unix_path() {
        for good in [
            "0.0.0.0:50051",
            "localhost:0",
            "[::1]:50051",
            "[fe80::1%lo]:1",
            "http://0.0.0.0:50051",
            "https://[::1]:0",
            "https://[fe80::1%lo]:1",
            "unix:/run/s",
            "unix:x",
        ] {
            assert_eq!(good.parse::<ListenAddr>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "localhost",
            ":50051",
            "host:port",
            "host:65536",
            "unix:",
            "http://x",
            "https://:1",
            "https://x:1/",
            "https://unix:s",
            "grpc://x:1",
            "://x:1",
            "http:x:1",
            "http://https://x:1",
            "1.2.3.4:1:2",
            "host:+1",
            "[fe80::1%]:1",
            "[fe80::1%a%b]:1",
            "[name%lo]:1",
            "name%lo:1",
            "fe80::1%lo:1",
        ] {
            assert!(bad.parse::<ListenAddr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn scheme_is_case_insensitive_and_absent_by_default() {
        let scheme = |given: &str| match given.parse::<ListenAddr>() {
            Ok(ListenAddr::Tcp { scheme, .. }) => scheme,
            other => panic!("{other:?}"),
        };
        assert_eq!(scheme("a:1"), None);
        assert_eq!(scheme("HTTP://a:1"), Some(Scheme::Http));
        assert_eq!(scheme("Https://a:1"), Some(Scheme::Https));
    }

    #[test]
    fn socket_addr_is_a_listen_addr_with_its_zone() {
        for address in ["127.0.0.1:0", "[::1]:50051", "[fe80::1%7]:1"] {
            let socket_addr: SocketAddr = address.parse().unwrap();
            assert_eq!(ListenAddr::from(socket_addr).to_string(), address);
        }
    }

    #[test]
    fn zone_of_an_ipv6_address_has_both_forms() {
        for (given, expected) in [
            ("[fe80::1%eth0]:1", "fe80::1%eth0"),
            ("[fe80::1%25eth0]:1", "fe80::1%eth0"),
            ("[fe80::1%2]:1", "fe80::1%2"),
            ("[fe80::1%25]:1", "fe80::1%25"),
        ] {
            let expected = ListenAddr::Tcp { scheme: None, host: expected.to_owned(), port: 1 };
            assert_eq!(given.parse(), Ok(expected));
        }
    }

    #[test]
    fn mode_of_a_unix_socket_has_up_to_nine_bits() {
        let mode = |given: &str| match given.parse::<ListenAddr>() {
            Ok(ListenAddr::Unix { path, mode }) if path == *"s" => mode,
            other => panic!("{other:?}"),
        };
        assert_eq!((mode("unix:s"), mode("unix:s?mode=0660")), (None, Some(0o660)));
        assert_eq!((mode("unix:s?mode=0"), mode("unix:s?mode=777")), (Some(0), Some(0o777)));
        assert_eq!("unix:s?mode=7".parse::<ListenAddr>().unwrap().to_string(), "unix:s?mode=0007");
        for bad in ["mode=1000", "mode=", "mode=0668", "mode=+66", "mod=0660", "", "mode=0660&x=1"]
        {
            let error = format!("unix:s?{bad}").parse::<ListenAddr>().unwrap_err();
            assert!(error.contains("?mode= with octal digits up to 0777"), "{error}");
        }
    }
}
