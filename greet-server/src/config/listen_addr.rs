//! An address to listen on: `HOST:PORT`, or `unix:PATH` with an optional mode of the socket file.

use std::fmt;
use std::net;
use std::path::PathBuf;
use std::str::FromStr;

/// The only parameter of a Unix socket's address.
const MODE: &str = "mode=";
/// Permission bits of user, group and others.
const MAX_MODE: u32 = 0o777;

/// An address to listen on: `HOST:PORT`, `unix:PATH` or `unix:PATH?mode=0660`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// A host name or IP address with a port; port 0 picks a free one.
    Tcp(String),
    /// A Unix socket.
    Unix {
        /// The path of its file.
        path: PathBuf,
        /// Permission bits of the file. Without them the umask decides.
        mode: Option<u32>,
    },
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
        given
            .rsplit_once(':')
            .filter(|(host, port)| is_host(host) && is_port(port))
            .map(|_| ListenAddr::Tcp(given.to_owned()))
            .ok_or_else(|| format!("{given:?} is not HOST:PORT or unix:PATH"))
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
