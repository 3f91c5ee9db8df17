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
    let unknown = |problem: &str| {
        Err(ConnectError::UnknownHost { host: host.to_owned(), problem: problem.to_owned() })
    };
    match timeout_at(deadline, lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let mut seen = HashSet::new();
            let addresses = found.map(|address| address.ip()).filter(|ip| seen.insert(*ip));
            let addresses: Vec<_> = addresses.collect();
            if addresses.is_empty() { unknown("the name has no address") } else { Ok(addresses) }
        }
        Ok(Err(error)) => {
            let problem = error.to_string();
            let problem = problem.trim_start_matches(PREFIX);
            if problem.contains("Temporary failure") || problem.contains("Try again") {
                let (host, problem) = (host.to_owned(), problem.to_owned());
                return Err(ConnectError::NoNameServer { host, problem });
            }
            unknown(problem)
        }
        Err(_elapsed) => {
            let after = HumanDuration(started.elapsed()).to_string();
            Err(ConnectError::LookupTimeout { host: host.to_owned(), after })
        }
    }
}
