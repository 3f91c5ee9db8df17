//! Counts the failures to connect to each server. Calls use the other servers and succeed, so their
//! results do not show that one is dead.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::{Mutex, MutexGuard};

use crate::error::ConnectError;

/// Maximum servers with a count of their own: a name may have other addresses at each lookup.
const MAX_SERVERS: usize = 1_000;

/// The failures of all servers of a client.
#[derive(Debug, Default)]
pub(crate) struct ConnectFailures(Mutex<BTreeMap<Server, ConnectFailure>>);

/// A target, or one address of a `dns:` target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Server {
    pub(crate) target: String,
    /// `IP:PORT`; `None` also for a name that could not be looked up.
    pub(crate) address: Option<String>,
}

/// The failures of one server.
#[derive(Debug, Clone)]
pub(crate) struct ConnectFailure {
    pub(crate) server: Server,
    pub(crate) failures: u64,
    /// The first failure.
    pub(crate) error: ConnectError,
    /// Whether the last connection failed.
    is_dead: bool,
    is_reported: bool,
}

impl ConnectFailures {
    pub(super) fn failed(&self, server: Server, error: &ConnectError) {
        let mut servers = self.servers();
        if let Some(known) = servers.get_mut(&server) {
            known.failures += 1;
            known.is_dead = true;
        } else if servers.len() < MAX_SERVERS {
            let (error, is_dead, is_reported) = (error.clone(), true, false);
            let first =
                ConnectFailure { server: server.clone(), failures: 1, error, is_dead, is_reported };
            servers.insert(server, first);
        }
    }

    pub(super) fn connected(&self, server: impl FnOnce() -> Server) {
        let mut servers = self.servers();
        // Usually there are none.
        if !servers.is_empty()
            && let Some(known) = servers.get_mut(&server())
        {
            known.is_dead = false;
        }
    }

    /// Returns the servers that are dead, in use, and were not returned before.
    pub(crate) fn take_unreported(
        &self,
        is_in_use: impl Fn(&Server) -> bool,
    ) -> Vec<ConnectFailure> {
        let mut servers = self.servers();
        let unreported = servers
            .values_mut()
            .filter(|it| it.is_dead && !it.is_reported && is_in_use(&it.server));
        unreported
            .map(|server| {
                server.is_reported = true;
                server.clone()
            })
            .collect()
    }

    /// Returns every server that could not be connected to at some time, in the order of the targets'
    /// names.
    pub(crate) fn all(&self) -> Vec<ConnectFailure> {
        self.servers().values().cloned().collect()
    }

    /// Adds the failures of another client of the same servers.
    pub(crate) fn add(&self, others: Vec<ConnectFailure>) {
        let mut servers = self.servers();
        for other in others {
            match servers.entry(other.server.clone()) {
                Entry::Vacant(entry) => drop(entry.insert(other)),
                Entry::Occupied(mut entry) => {
                    entry.get_mut().failures += other.failures;
                    entry.get_mut().is_dead |= other.is_dead;
                }
            }
        }
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<Server, ConnectFailure>> {
        self.0.lock().expect("nothing panics while it is locked")
    }
}

/// `TARGET: STAGE: CAUSE`
impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConnectFailure { server, error, .. } = self;
        write!(f, "{}: {}: {error}", server.target, error.stage().name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> ConnectError {
        ConnectError::Refused { peer: "PEER".to_owned() }
    }

    #[test]
    fn dead_server_is_reported_once_and_recovered_server_is_not() {
        let failures = ConnectFailures::default();
        let server = |target: &str| Server { target: target.to_owned(), address: None };
        for target in ["http://dead:1", "http://alive:1", "http://dead:1"] {
            failures.failed(server(target), &refused());
        }
        failures.connected(|| server("http://alive:1"));
        assert!(failures.take_unreported(|_| false).is_empty());
        let reported = failures.take_unreported(|_| true);
        let reported: Vec<_> = reported.iter().map(ToString::to_string).collect();
        let line = format!("http://dead:1: tcp: {}", refused());
        assert_eq!(reported, [line]);
        failures.failed(server("http://dead:1"), &refused());
        assert!(failures.take_unreported(|_| true).is_empty());
        let counts: Vec<_> = failures.all().iter().map(|server| server.failures).collect();
        assert_eq!(counts, [1, 3]);
    }

    #[test]
    fn number_of_servers_is_limited() {
        let failures = ConnectFailures::default();
        let fail = |server: usize| {
            let address = Some(server.to_string());
            failures.failed(Server { target: "dns:///many:1".to_owned(), address }, &refused());
        };
        (0..MAX_SERVERS).for_each(fail);
        assert_eq!(failures.all().len(), MAX_SERVERS);
        fail(MAX_SERVERS);
        assert_eq!(failures.all().len(), MAX_SERVERS);
    }
}
