//! Matches targets with `no_proxy`, by the rules of Go (golang.org/x/net/http/httpproxy), which
//! grpc-go applies. Names are not looked up, so a network matches targets that are addresses.

use std::fmt;
use std::net::IpAddr;

/// Why a target is connected without the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exclusion {
    UnixSocket,
    /// `localhost` as well.
    Loopback,
    /// It is an address with a zone, which has a meaning on this machine only.
    Zone,
    /// The first entry of `no_proxy` that matches.
    Entry(String),
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exclusion::UnixSocket => write!(f, "Unix socket"),
            Exclusion::Loopback => write!(f, "loopback address"),
            Exclusion::Zone => write!(f, "address with a zone"),
            Exclusion::Entry(entry) => write!(f, "no_proxy ({entry})"),
        }
    }
}

/// Returns why `host:port` is connected without the proxy, if it is.
pub(super) fn exclusion(list: &str, host: &str, port: u16) -> Option<Exclusion> {
    let host = host.to_ascii_lowercase();
    let address = parse_address(&host);
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return Some(Exclusion::Loopback);
    }
    if host.contains('%') {
        return Some(Exclusion::Zone);
    }
    let excludes = |entry: &&str| {
        let entry = entry.to_ascii_lowercase();
        let in_network = entry.split_once('/').zip(address);
        entry == "*"
            || in_network.is_some_and(|((network, bits), it)| is_in(it, network, bits))
            || matches(&entry, &host, address, port)
    };
    let entry = list.split(',').map(str::trim).find(excludes)?;
    Some(Exclusion::Entry(entry.to_owned()))
}

/// Returns whether an entry `ADDRESS[:PORT]`, `DOMAIN[:PORT]`, `.DOMAIN[:PORT]` or `*.DOMAIN[:PORT]`
/// names the host. A domain includes its subdomains; the last two forms are the subdomains alone.
fn matches(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    let (name, entry_port) = split_port(entry);
    let is_name = match parse_address(name) {
        Some(named) => address == Some(named),
        None => {
            let name = name.strip_prefix('*').unwrap_or(name);
            let parent = host.strip_suffix(name);
            let is_subdomain =
                |parent: &str| name.starts_with('.') || parent.is_empty() || parent.ends_with('.');
            !name.is_empty() && parent.is_some_and(is_subdomain)
        }
    };
    is_name && entry_port.is_none_or(|entry_port| entry_port == port)
}

/// Splits `NAME[:PORT]`, and removes the brackets of an IPv6 address.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    let split = entry.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
    // The colons of an IPv6 address are not followed by a port.
    let split = split.filter(|_| parse_address(entry).is_none());
    let (name, port) = split.map_or((entry, None), |(name, port)| (name, Some(port)));
    (name.trim_start_matches('[').trim_end_matches(']'), port)
}

/// Returns whether the first `bits` bits of both addresses are equal.
fn is_in(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Some(network), Ok(bits)) = (parse_address(network), bits.parse::<u32>()) else {
        return false;
    };
    let (difference, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32_u32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        _ => return false,
    };
    let Some(ignored_bits) = width.checked_sub(bits) else {
        return false;
    };
    // `/0` ignores all bits of the number.
    difference.checked_shr(ignored_bits).unwrap_or(0) == 0
}

/// Parses an address; an IPv4-mapped one is IPv4.
fn parse_address(text: &str) -> Option<IpAddr> {
    Some(text.parse::<IpAddr>().ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks `list` with hosts and the port 50051.
    #[track_caller]
    fn assert_excludes(list: &str, excluded: &[&str], others: &[&str]) {
        for (hosts, expected) in [(excluded, true), (others, false)] {
            for host in hosts {
                assert_eq!(exclusion(list, host, 50051).is_some(), expected, "{list:?}, {host}");
            }
        }
    }

    #[test]
    fn loopback_and_zones_are_always_excluded() {
        let local = ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"];
        assert_excludes("", &local, &["10.0.0.1", "localhost.example", "0.0.0.0", "::2"]);
        assert_excludes("", &["fe80::1%eth0", "::1%1"], &["fe80::1"]);
    }

    #[test]
    fn reason_is_the_first_entry_that_matches() {
        let shown = |host| exclusion("a, .Example,b.example", host, 1).map(|it| it.to_string());
        assert_eq!(shown("b.example").unwrap(), "no_proxy (.Example)");
        assert_eq!(shown("127.0.0.1").unwrap(), "loopback address");
        assert_eq!(shown("fe80::1%eth0").unwrap(), "address with a zone");
        assert_eq!(shown("example"), None);
    }

    #[test]
    fn asterisk_excludes_every_host() {
        for list in ["*", " * ", "a.example,*"] {
            assert_excludes(list, &["service.example", "10.0.0.1", "fd00::1"], &[]);
        }
    }

    #[test]
    fn domain_includes_its_subdomains() {
        let below = ["a.service.example", "b.a.service.example"];
        let others = ["otherservice.example", "example", "service.example.org", "10.0.0.1"];
        let exact = ["service.example", "Service.Example"];
        for list in ["service.example", "x, SERVICE.example ,y", ",service.example,,"] {
            assert_excludes(list, &[&exact[..], &below].concat(), &others);
        }
        for list in [".service.example", "*.service.example"] {
            assert_excludes(list, &below, &[&exact[..], &others].concat());
        }
        assert_excludes("", &[], &exact);
        assert_excludes(" , ,", &[], &exact);
    }

    #[test]
    fn address_matches_in_any_form() {
        assert_excludes("10.1.2.3", &["10.1.2.3", "::ffff:10.1.2.3"], &["10.1.2.4", "110.1.2.3"]);
        assert_excludes("fd00::1", &["fd00::1", "fd00:0::1"], &["fd00::11", "fd00::2"]);
        assert_excludes("[fd00::1]", &["fd00::1"], &["fd00::2"]);
    }

    #[test]
    fn network_matches_to_its_last_bit() {
        assert_excludes("10.0.0.0/8", &["10.0.0.0", "10.255.255.255"], &["11.0.0.0", "9.255.0.1"]);
        assert_excludes("10.1.2.3/31", &["10.1.2.2", "10.1.2.3"], &["10.1.2.1", "10.1.2.4"]);
        assert_excludes("10.1.2.3/32", &["10.1.2.3"], &["10.1.2.2"]);
        assert_excludes("0.0.0.0/0", &["10.1.2.3"], &["fd00::1", "service.example"]);
        assert_excludes("fd00::/8", &["fd00::1", "fdff::1"], &["fe00::1", "10.0.0.1"]);
        assert_excludes("::/0", &["fd00::1"], &["10.0.0.1"]);
        assert_excludes("fd00::1/128", &["fd00::1"], &["fd00::2"]);
        for invalid in ["10.0.0.0/33", "fd00::1/129", "10.0.0.0/", "10.0.0.0/-1", "/8", "a/8"] {
            assert_excludes(invalid, &[], &["10.0.0.0", "fd00::1", "a"]);
        }
    }

    #[test]
    fn entry_with_port_matches_this_port_only() {
        for (entry, host) in [
            ("service.example", "service.example"),
            ("service.example", "a.service.example"),
            (".service.example", "a.service.example"),
            ("10.1.2.3", "10.1.2.3"),
            ("[fd00::1]", "fd00::1"),
        ] {
            assert_excludes(&format!("{entry}:50051"), &[host], &[]);
            for port in ["50052", "0", "x", "", "65537"] {
                assert_excludes(&format!("{entry}:{port}"), &[], &[host]);
            }
        }
    }
}
