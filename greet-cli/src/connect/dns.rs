//! The DNS stage: looks up the addresses of a host.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use super::socket_error::open_files_problem;
use crate::error::ConnectError;
use crate::format::HumanDuration;

/// The text of the standard library before the resolver's message.
const PREFIX: &str = "failed to lookup address information: ";

/// Returns each address once, with its zone and the port, in the order of the resolver.
pub(super) async fn look_up(
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let started = Instant::now();
    let looked_up = timeout_at(deadline, lookup_host((host, port))).await;
    let host = host.to_owned();
    let problem = match looked_up {
        Ok(Ok(found)) => {
            let mut seen = HashSet::new();
            let addresses: Vec<_> = found.filter(|address| seen.insert(*address)).collect();
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            "the name has no address".to_owned()
        }
        Ok(Err(error)) => error.to_string().trim_start_matches(PREFIX).to_owned(),
        Err(_elapsed) => {
            let after = HumanDuration(started.elapsed()).to_string();
            return Err(ConnectError::LookupTimeout { host, after });
        }
    };
    // The resolver has no code for it. It needs a socket and the files that configure it.
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
    if let Some(problem) = probe.err().and_then(|error| open_files_problem(&error)) {
        return Err(ConnectError::TooManyOpenFilesToLookUp { host, problem });
    }
    if let Some((_, zone)) = host.split_once('%') {
        let zone = zone.to_owned();
        return Err(ConnectError::UnknownZone { host, zone });
    }
    if problem.contains("Temporary failure") || problem.contains("Try again") {
        return Err(ConnectError::NoNameServer { host, problem });
    }
    Err(ConnectError::UnknownHost { host, problem })
}

/// Returns the address without its port, and with its zone.
pub(crate) fn without_port(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        _ => address.ip().to_string(),
    }
}
