//! The DNS stage: looks up the addresses of a host.

use std::collections::HashSet;
use std::net::IpAddr;

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use crate::error::ConnectError;
use crate::format::HumanDuration;

/// The text of the standard library before the resolver's message.
const PREFIX: &str = "failed to lookup address information: ";

/// Returns each address once, in the order of the resolver.
pub(super) async fn look_up(
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<Vec<IpAddr>, ConnectError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let started = Instant::now();
    let looked_up = timeout_at(deadline, lookup_host((host, port))).await;
    let host = host.to_owned();
    let problem = match looked_up {
        Ok(Ok(found)) => {
            let mut seen = HashSet::new();
            let addresses = found.map(|address| address.ip()).filter(|ip| seen.insert(*ip));
            let addresses: Vec<_> = addresses.collect();
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
    if problem.contains("Temporary failure") || problem.contains("Try again") {
        return Err(ConnectError::NoNameServer { host, problem });
    }
    Err(ConnectError::UnknownHost { host, problem })
}
