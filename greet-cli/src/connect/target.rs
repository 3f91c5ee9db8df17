//! Parses `--target`: `http://HOST:PORT`, `https://HOST[:PORT]`, `HOST[:PORT]`, `:PORT` or
//! `unix:PATH`. The form `dns:///NAME[:PORT]` of gRPC stands for all addresses of a name; over TLS
//! it is `dns+https:///`. Schemes are case-insensitive (RFC 3986, section 3.1).

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use http::uri::Authority;

const FORMS: &str = "http://HOST:PORT, https://HOST[:PORT], HOST[:PORT], :PORT, unix:PATH, \
     dns:///NAME[:PORT] or dns+https:///NAME[:PORT]";
const NAME_SERVER_HINT: &str = "names a name server, but only the system's resolver is supported";
/// The default port of `https`.
const HTTPS_PORT: u16 = 443;
/// The default port of greet-server.
const DEFAULT_PORT: u16 = 50051;

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// HTTP/2 over TCP.
    Tcp {
        /// Without the brackets of an IPv6 address, and with its zone: `fe80::1%eth0`.
        host: String,
        port: u16,
        /// Over TLS (`https`), not in plaintext.
        tls: bool,
        /// Whether each address of the host is a server of its own (`dns:///`). If not, the first
        /// address that accepts a connection is used.
        per_address: bool,
    },
    /// HTTP/2 in plaintext over a Unix socket.
    Unix(PathBuf),
}

impl Target {
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Target::Tcp { tls: true, .. })
    }

    pub(crate) fn is_per_address(&self) -> bool {
        matches!(self, Target::Tcp { per_address: true, .. })
    }

    /// Returns the name to look up; empty for a Unix socket.
    pub(crate) fn host(&self) -> &str {
        match self {
            Target::Tcp { host, .. } => host,
            Target::Unix(_) => "",
        }
    }

    /// Returns the name that a certificate and `:authority` have: a zone is only valid on this
    /// machine and is not sent (RFC 6874, section 4).
    pub(crate) fn host_without_zone(&self) -> &str {
        let host = self.host();
        host.split_once('%').map_or(host, |(address, _zone)| address)
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    /// Returns the `:authority` of requests. For a Unix socket it is `localhost`, as in other gRPC
    /// implementations.
    pub(crate) fn authority(&self) -> String {
        match self {
            Target::Tcp { port, .. } => host_port(self.host_without_zone(), *port),
            Target::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// Returns `HOST:PORT`, with brackets around an IPv6 address.
pub(super) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port, tls, per_address) = match self {
            Target::Unix(path) => return write!(f, "unix:{}", path.display()),
            Target::Tcp { host, port, tls, per_address } => (host, *port, tls, per_address),
        };
        let scheme = match (per_address, tls) {
            (false, false) => "http://",
            (false, true) => "https://",
            (true, false) => "dns:///",
            (true, true) => "dns+https:///",
        };
        write!(f, "{scheme}{}", host_port(host, port))
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let invalid = || format!("{given:?} is not {FORMS}");
        if let Some((scheme, path)) = given.split_once(':')
            && scheme.eq_ignore_ascii_case("unix")
        {
            let path = Some(path).filter(|path| !path.is_empty());
            return path.map(|path| Target::Unix(path.into())).ok_or_else(invalid);
        }
        let Some((scheme, rest)) = given.split_once("://") else {
            let target = match given {
                // `:PORT` is short for `localhost:PORT`.
                _ if given.starts_with(':') => {
                    tcp(&format!("localhost{given}"), false, None, false)
                }
                // The resolver would take a number for an IPv4 address.
                _ if given.parse::<u16>().is_ok() => {
                    return Err(format!("{}; did you mean :{given}?", invalid()));
                }
                _ => tcp(given, false, Some(DEFAULT_PORT), false),
            };
            return target.ok_or_else(invalid);
        };
        let scheme = scheme.to_ascii_lowercase();
        let target = match scheme.as_str() {
            "http" => tcp(rest, false, None, false),
            "https" => tcp(rest, true, Some(HTTPS_PORT), false),
            "dns" | "dns+https" => {
                let Some(name) = rest.strip_prefix('/') else {
                    return Err(format!(
                        "{given:?} {NAME_SERVER_HINT}; did you mean {scheme}:///{rest}?"
                    ));
                };
                let is_tls = scheme != "dns";
                let default_port = if is_tls { HTTPS_PORT } else { DEFAULT_PORT };
                tcp(name, is_tls, Some(default_port), true)
            }
            _ => None,
        };
        target.ok_or_else(invalid)
    }
}

/// Parses `HOST[:PORT]`, possibly with a slash at the end.
pub(super) fn tcp(
    address: &str,
    tls: bool,
    default_port: Option<u16>,
    per_address: bool,
) -> Option<Target> {
    let address = address.strip_suffix('/').unwrap_or(address);
    let (address, zone) = split_zone(address)?;
    let authority: Authority = address.parse().ok()?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        // A colon without a valid port is a typing error and does not mean the default.
        None if authority.as_str() != authority.host() => return None,
        None => default_port?,
    };
    let is_valid = !host.is_empty() && !address.contains('@');
    let host = zone.map_or(host.to_owned(), |zone| format!("{host}%{zone}"));
    is_valid.then_some(Target::Tcp { host, port, tls, per_address })
}

/// Takes the zone out of `[fe80::1%eth0]:50051`, or of `[fe80::1%25eth0]:50051` as RFC 6874 writes
/// it, because no URI may have a bare `%`. Returns `None` if it is malformed.
fn split_zone(address: &str) -> Option<(String, Option<&str>)> {
    let Some((ip, rest)) = address.split_once('%') else {
        return Some((address.to_owned(), None));
    };
    let (zone, port) = rest.split_once(']')?;
    let zone = zone.strip_prefix("25").filter(|zone| !zone.is_empty()).unwrap_or(zone);
    let is_name = |zone: &str| {
        !zone.is_empty()
            && zone.chars().all(|char| !char.is_whitespace() && !char.is_control() && char != '%')
    };
    let is_valid = ip.strip_prefix('[')?.parse::<Ipv6Addr>().is_ok() && is_name(zone);
    is_valid.then(|| (format!("{ip}]{port}"), Some(zone)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_address_and_socket_path_are_targets() {
        let shown = |given: &str| given.parse::<Target>().unwrap().to_string();
        assert_eq!(shown("http://127.0.0.1:50051"), "http://127.0.0.1:50051");
        assert_eq!(shown("http://service:1/"), "http://service:1");
        assert_eq!(shown("https://service:1"), "https://service:1");
        assert_eq!(shown("https://service.example"), "https://service.example:443");
        assert_eq!(shown("service.example:443"), "http://service.example:443");
        assert_eq!(shown("[::1]:50051"), "http://[::1]:50051");
        assert_eq!(shown("https://[::1]/"), "https://[::1]:443");
        assert_eq!(shown("unix:/run/server.sock"), "unix:/run/server.sock");
        assert_eq!(shown(":1"), "http://localhost:1");
        assert_eq!(shown("localhost"), "http://localhost:50051");
        assert_eq!(shown("[::1]"), "http://[::1]:50051");
    }

    #[test]
    fn dns_target_stands_for_all_addresses_of_name() {
        let shown = |given: &str| given.parse::<Target>().unwrap().to_string();
        assert_eq!(shown("dns:///service:1"), "dns:///service:1");
        assert_eq!(shown("dns:///service"), "dns:///service:50051");
        assert_eq!(shown("dns:///[::1]:1/"), "dns:///[::1]:1");
        assert_eq!(shown("dns+https:///service.example"), "dns+https:///service.example:443");
        let target: Target = "dns+https:///service:1".parse().unwrap();
        assert_eq!((target.scheme(), target.authority().as_str()), ("https", "service:1"));
        for authority in ["dns://8.8.8.8/service:1", "dns://service:1", "dns+https://ns/service"] {
            let reason = authority.parse::<Target>().unwrap_err();
            assert!(reason.contains(NAME_SERVER_HINT), "{reason}");
        }
        for bad in [
            "dns:///",
            "dns:///service:",
            "dns:///service:65536",
            "dns+https:///service:http",
            "dns:///a/b:1",
            "dns+http:///service:1",
        ] {
            assert_eq!(bad.parse::<Target>(), Err(format!("{bad:?} is not {FORMS}")));
        }
    }

    #[test]
    fn scheme_is_case_insensitive() {
        let shown = |given: &str| given.parse::<Target>().unwrap().to_string();
        assert_eq!(shown("HTTP://Service:1"), "http://Service:1");
        assert_eq!(shown("Https://service"), "https://service:443");
        assert_eq!(shown("DNS:///service"), "dns:///service:50051");
        assert_eq!(shown("DNS+https:///service"), "dns+https:///service:443");
        assert_eq!(shown("Unix:/run/Server.sock"), "unix:/run/Server.sock");
    }

    #[test]
    fn zone_of_address_is_kept_but_not_sent() {
        for given in ["[fe80::1%eth0]:1", "http://[fe80::1%25eth0]:1"] {
            let target: Target = given.parse().unwrap();
            assert_eq!(target.to_string(), "http://[fe80::1%eth0]:1");
            assert_eq!(target.to_string().parse(), Ok(target.clone()));
            assert_eq!(
                (target.host(), target.authority().as_str()),
                ("fe80::1%eth0", "[fe80::1]:1")
            );
        }
        let shown = |given: &str| given.parse::<Target>().unwrap().to_string();
        assert_eq!(shown("https://[fe80::1%2]"), "https://[fe80::1%2]:443");
        assert_eq!(shown("dns:///[fe80::1%25]"), "dns:///[fe80::1%25]:50051", "zone 25");
        for bad in ["[fe80::1%]:1", "[fe80::1%a b]:1", "[fe80::1%a%b]:1", "[fe80::1%a", "a%b:1"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
        assert!("[127.0.0.1%eth0]:1".parse::<Target>().is_err());
    }

    #[test]
    fn target_with_invalid_port_or_unknown_scheme_is_rejected() {
        let reason = "50051".parse::<Target>().unwrap_err();
        assert!(reason.ends_with("; did you mean :50051?"), "{reason}");
        let bad = ["", ":", ":port", "http://localhost", "localhost:port", "localhost:", "unix:"];
        let worse = ["https://x:99999", "https://[::1]:-1", "https://x:https"];
        let worst =
            ["ftp://x:1", "http://a@b:1", "http://x:1/path", "https://", "https://x:", "x:99999"];
        for bad in bad.iter().chain(&worse).chain(&worst) {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
