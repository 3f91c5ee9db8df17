//! Decides which requests the admin port accepts, by their Host and Origin.
//!
//! The port has no authentication: only its address limits access, and any web page can send requests
//! from a browser that can connect to that address. A page of another site sends its Origin. DNS
//! rebinding makes a page same-origin, but its requests have the name of its site as Host. So a
//! change needs a Host that an attacker's DNS server cannot resolve.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, Version};

use crate::config::ListenAddr;

/// A reason to reject a request.
pub(crate) type Rejection = (StatusCode, String);

/// The access that the configuration allows.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// The host of `--admin-listen`, a name or an address.
    name: Option<String>,
    /// Whether no request may change anything.
    pub(super) is_read_only: bool,
}

impl Access {
    pub(crate) fn new(listen: Option<&ListenAddr>, is_read_only: bool) -> Access {
        let name = match listen {
            Some(ListenAddr::Tcp { host, .. }) => Some(host.clone()),
            Some(ListenAddr::Unix { .. }) | None => None,
        };
        Access { name, is_read_only }
    }

    /// Checks a request that changes something. No browser connects to a Unix socket, and none sends
    /// a request without Host.
    pub(crate) fn check_change(
        &self,
        host: Option<&Authority>,
        is_unix: bool,
    ) -> Result<(), Rejection> {
        match host.map(Authority::host) {
            Some(host) if !is_unix && !self.is_own(host) => {
                let allowed = "an IP address, localhost or the host of --admin-listen";
                Err((StatusCode::FORBIDDEN, format!("the host of a change must be {allowed}")))
            }
            _ => Ok(()),
        }
    }

    fn is_own(&self, host: &str) -> bool {
        let ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<Ipv4Addr>().is_ok()
            || ipv6.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
            || self.name.as_deref().is_some_and(|name| host.eq_ignore_ascii_case(name))
    }
}

/// Returns the host of a request. HTTP/1.1 requires exactly one (RFC 9112, section 3.2). Rejects a
/// request from a page of another host.
pub(crate) fn host(headers: &HeaderMap, version: Version) -> Result<Option<Authority>, Rejection> {
    let bad = |problem: &str| (StatusCode::BAD_REQUEST, problem.to_owned());
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if version <= Version::HTTP_10 => None,
        (None, _) => return Err(bad("the request has no Host header")),
        (Some(_), Some(_)) => return Err(bad("the request has several Host headers")),
        (Some(host), None) if host.is_empty() => None, // valid, and never sent by a browser
        (Some(host), None) => {
            let host = Authority::try_from(host.as_bytes()).ok();
            let host = host.filter(|host| !host.as_str().contains('@') && has_valid_port(host));
            Some(host.ok_or_else(|| bad("the Host header is not a host with an optional port"))?)
        }
    };
    if headers.get_all(ORIGIN).iter().all(|origin| is_own_origin(origin, host.as_ref())) {
        Ok(host)
    } else {
        Err((StatusCode::FORBIDDEN, "the Origin is another site".to_owned()))
    }
}

/// Returns whether a port, which is a number or empty (RFC 9110, section 7.2), or nothing follows the host.
/// The library accepts more, such as `[::1]x:80`.
fn has_valid_port(host: &Authority) -> bool {
    let rest = &host.as_str()[host.host().len()..];
    let Some(port) = rest.strip_prefix(':') else {
        return rest.is_empty();
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    port.is_empty() || is_number
}

/// Returns whether a page of this host sent the request. A proxy may have ended its TLS.
fn is_own_origin(origin: &HeaderValue, host: Option<&Authority>) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some(("http" | "https", origin)), Some(host)) => {
            origin.eq_ignore_ascii_case(host.as_str())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_of_the_admin_address_may_change_the_filter() {
        let may_change = |listen: &str, host: &'static str, is_unix| {
            let access = Access::new(Some(&listen.parse().unwrap()), false);
            access.check_change(Some(&Authority::from_static(host)), is_unix).is_ok()
        };
        assert!(may_change("server.internal:9090", "Server.internal:80", false));
        assert!(!may_change("server.internal:9090", "other.internal:9090", false));
        assert!(!may_change("0.0.0.0:9090", "server.internal:9090", false));
        assert!(may_change("[::]:9090", "[::1]:9090", false));
        assert!(may_change("unix:admin.sock", "x", true), "no browser connects to it");
    }

    #[test]
    fn port_of_the_host_is_a_number_or_absent() {
        let is_valid = |text: &'static str| {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(text))]);
            host(&headers, Version::HTTP_11).is_ok()
        };
        for valid in
            ["localhost", "localhost:", "localhost:0", "localhost:65535", "[::1]", "[::1]:80"]
        {
            assert!(is_valid(valid), "{valid}");
        }
        for invalid in
            ["localhost:x", "localhost:65536", "localhost:+1", "[::1]:x", "[::1]x:80", "a:1:2"]
        {
            assert!(!is_valid(invalid), "{invalid}");
        }
    }
}
