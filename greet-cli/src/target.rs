//! What to connect to: `http://HOST:PORT`, `https://HOST:PORT`, `HOST:PORT` or `unix:PATH`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::uri::Authority;

const EXPECTED: &str = "expected http://HOST:PORT, https://HOST:PORT, HOST:PORT or unix:PATH";
/// Where `https://HOST` is served if nothing else is said.
const HTTPS_PORT: u16 = 443;

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
    },
    /// HTTP/2 in plaintext over a Unix socket.
    Unix(PathBuf),
}

impl Target {
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Target::Tcp { tls: true, .. })
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
            Target::Tcp { .. } => write!(f, "{}://{}", self.scheme(), self.authority()),
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
        let (address, tls) = match given.strip_prefix("https://") {
            Some(address) => (address, true),
            None => (given.strip_prefix("http://").unwrap_or(given), false),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        let authority: Authority = address.parse().map_err(|_| EXPECTED)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = match authority.port() {
            Some(port) => Some(port.as_u16()),
            // A colon without a number is a typing error, not a wish for the default.
            None => (tls && !address.ends_with(':')).then_some(HTTPS_PORT),
        };
        match port {
            Some(port) if !host.is_empty() && !address.contains('@') => {
                Ok(Target::Tcp { host: host.to_owned(), port, tls })
            }
            _ => Err(EXPECTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_an_address_or_a_path() {
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
    fn what_has_no_port_or_another_scheme_is_refused() {
        let bad = ["", "localhost", "http://localhost", "localhost:port", ":50051", "unix:"];
        let worse =
            ["ftp://x:1", "http://a@b:1", "http://x:1/path", "https://", "https://x:", "x:99999"];
        for bad in bad.iter().chain(&worse) {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
