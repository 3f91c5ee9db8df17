//! The first stage: a host's name to its addresses.

use std::collections::HashSet;
use std::net::IpAddr;

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use crate::error::ConnectError;

const PREFIX: &str = "failed to lookup address information: ";

/// Each address once, in the order in which they are to be tried.
pub(super) async fn look_up(
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<Vec<IpAddr>, ConnectError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let started = Instant::now();
    let unknown = |problem: &str| {
        Err(ConnectError::UnknownHost { host: host.to_owned(), problem: problem.to_owned() })
    };
    match timeout_at(deadline, lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let mut seen = HashSet::new();
            let addresses = found.map(|address| address.ip()).filter(|ip| seen.insert(*ip));
            match addresses.collect::<Vec<_>>() {
                none if none.is_empty() => unknown("the name has no address"),
                addresses => Ok(addresses),
            }
        }
        Ok(Err(error)) => {
            let problem = error.to_string();
            if problem.contains("Temporary failure") || problem.contains("Try again") {
                let problem = problem.trim_start_matches(PREFIX).to_owned();
                return Err(ConnectError::NoNameServer { host: host.to_owned(), problem });
            }
            // What the standard library puts before the resolver's own words says nothing new.
            unknown(problem.trim_start_matches(PREFIX))
        }
        Err(_elapsed) => {
            let after = Instant::now() - started;
            Err(ConnectError::LookupTimeout { host: host.to_owned(), after })
        }
    }
}
