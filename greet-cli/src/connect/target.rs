//! What to connect to: `http://HOST:PORT`, `https://HOST:PORT`, `HOST:PORT` or `unix:PATH`; or to every
//! address of a name, as gRPC writes it: `dns:///NAME:PORT`, over TLS `dns+https:///NAME:PORT`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::uri::Authority;

const EXPECTED: &str = "expected http://HOST:PORT, https://HOST:PORT, HOST:PORT, unix:PATH, dns:///NAME:PORT or \
     dns+https:///NAME:PORT";
const NAME_SERVER_HINT: &str =
    "what follows dns:// is a name server, and only this machine's are asked; say dns:///NAME:PORT";
/// Where `https://HOST` is served if nothing else is said.
const HTTPS_PORT: u16 = 443;
/// Where the daemon listens unless it was told otherwise.
const DEFAULT_PORT: u16 = 50051;

/// A server's address, as it was given and as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// HTTP/2 over TCP.
    Tcp {
        /// Without the brackets of an IPv6 address.
        host: String,
        port: u16,
        /// Over TLS (`https`), not in plaintext.
        tls: bool,
        /// Each address of the host is a server of its own (`dns:///`); else the first that answers will do.
        per_address: bool,
    },
    /// HTTP/2 in plaintext over a Unix socket.
    Unix(PathBuf),
}

impl Target {
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Target::Tcp { tls: true, .. })
    }

    /// Whether it stands for a server at each address of a name.
    pub(crate) fn is_per_address(&self) -> bool {
        matches!(self, Target::Tcp { per_address: true, .. })
    }

    /// What is looked up; empty if there is nothing to look up.
    pub(crate) fn host(&self) -> &str {
        match self {
            Target::Tcp { host, .. } => host,
            Target::Unix(_) => "",
        }
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    /// What the `:authority` of a request says. A Unix socket has none; `localhost` is what the
    /// other gRPC implementations send there.
    pub(crate) fn authority(&self) -> String {
        match self {
            Target::Tcp { host, port, .. } => host_port(host, *port),
            Target::Unix(_) => "localhost".to_owned(),
        }
    }
}

fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp { per_address: false, .. } => {
                write!(f, "{}://{}", self.scheme(), self.authority())
            }
            Target::Tcp { tls: false, .. } => write!(f, "dns:///{}", self.authority()),
            Target::Tcp { .. } => write!(f, "dns+https:///{}", self.authority()),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        if let Some(path) = given.strip_prefix("unix:") {
            return if path.is_empty() { Err(EXPECTED) } else { Ok(Target::Unix(path.into())) };
        }
        let (address, tls, per_address) = match given.split_once("://") {
            None => (given, false, false),
            Some(("http", address)) => (address, false, false),
            Some(("https", address)) => (address, true, false),
            Some((scheme @ ("dns" | "dns+https"), name)) => {
                (name.strip_prefix('/').ok_or(NAME_SERVER_HINT)?, scheme != "dns", true)
            }
            Some(_) => return Err(EXPECTED),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        let authority: Authority = address.parse().map_err(|_| EXPECTED)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = match authority.port() {
            Some(port) => Some(port.as_u16()),
            // A colon without a port is a typing error, not a wish for the default.
            None if authority.as_str() != authority.host() => None,
            None if tls => Some(HTTPS_PORT),
            None => per_address.then_some(DEFAULT_PORT),
        };
        match port {
            Some(port) if !host.is_empty() && !address.contains('@') => {
                Ok(Target::Tcp { host: host.to_owned(), port, tls, per_address })
            }
            _ => Err(EXPECTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_address_and_socket_path_are_targets() {
        let shown = |given: &str| given.parse::<Target>().unwrap().to_string();
        assert_eq!(shown("http://127.0.0.1:50051"), "http://127.0.0.1:50051");
        assert_eq!(shown("http://greeter:1/"), "http://greeter:1");
        assert_eq!(shown("https://greeter:1"), "https://greeter:1");
        assert_eq!(shown("https://greeter.example"), "https://greeter.example:443");
        assert_eq!(shown("greeter.example:443"), "http://greeter.example:443");
        assert_eq!(shown("[::1]:50051"), "http://[::1]:50051");
        assert_eq!(shown("https://[::1]/"), "https://[::1]:443");
        assert_eq!(shown("unix:/run/greet.sock"), "unix:/run/greet.sock");
    }

    #[test]
    fn dns_target_stands_for_all_addresses_of_name() {
        let shown = |given: &str| given.parse::<Target>().unwrap().to_string();
        assert_eq!(shown("dns:///greeter:1"), "dns:///greeter:1");
        assert_eq!(shown("dns:///greeter"), "dns:///greeter:50051");
        assert_eq!(shown("dns:///[::1]:1/"), "dns:///[::1]:1");
        assert_eq!(shown("dns+https:///greeter.example"), "dns+https:///greeter.example:443");
        let target: Target = "dns+https:///greeter:1".parse().unwrap();
        assert_eq!((target.scheme(), target.authority().as_str()), ("https", "greeter:1"));
        for authority in ["dns://8.8.8.8/greeter:1", "dns://greeter:1", "dns+https://ns/greeter"] {
            assert_eq!(authority.parse::<Target>(), Err(NAME_SERVER_HINT), "{authority}");
        }
        for bad in [
            "dns:///",
            "dns:///greeter:",
            "dns:///greeter:65536",
            "dns+https:///greeter:http",
            "dns:///a/b:1",
            "dns+http:///greeter:1",
        ] {
            assert_eq!(bad.parse::<Target>(), Err(EXPECTED), "{bad}");
        }
    }

    #[test]
    fn target_without_port_or_with_unknown_scheme_is_rejected() {
        let bad = ["", "localhost", "http://localhost", "localhost:port", ":50051", "unix:"];
        let worse = ["https://x:99999", "https://[::1]:-1", "https://x:https"];
        let worst =
            ["ftp://x:1", "http://a@b:1", "http://x:1/path", "https://", "https://x:", "x:99999"];
        for bad in bad.iter().chain(&worse).chain(&worst) {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
