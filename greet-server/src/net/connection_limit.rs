//! Limits the connections in total and per IP address. A connection over a limit is refused at
//! once: a queue would only hide the overload from the waiting clients.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::telemetry::metrics::close_reason::CloseReason;

/// Counts connections against both limits. Its lock is taken per connection, not per call.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    max_connections: usize,
    max_per_ip: Option<usize>,
    connections: AtomicUsize,
    accepted: AtomicU64,
    by_ip: Mutex<HashMap<IpAddr, usize>>,
    /// Refused connections by reason.
    refused: [AtomicU64; CloseReason::ALL.len()],
}

/// The share of one connection, returned on drop.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    ip: Option<IpAddr>,
}

impl ConnectionLimit {
    pub(crate) fn new(max_connections: usize, max_per_ip: Option<usize>) -> Arc<ConnectionLimit> {
        Arc::new(ConnectionLimit {
            max_connections,
            max_per_ip,
            connections: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            by_ip: Mutex::default(),
            refused: Default::default(),
        })
    }

    /// Admits a connection from `ip`; a peer on a Unix socket has none.
    pub(crate) fn admit(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
    ) -> Result<ConnectionPermit, CloseReason> {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        // The permit of an early return is dropped, which takes this addition back.
        let connections = self.connections.fetch_add(1, Ordering::Relaxed);
        let mut permit = ConnectionPermit { limit: self.clone(), ip: None };
        if connections >= self.max_connections {
            return Err(self.refuse(CloseReason::OverMaxConnections));
        }
        if let (Some(max_per_ip), Some(ip)) = (self.max_per_ip, ip) {
            let mut by_ip = self.by_ip();
            let connections = by_ip.entry(ip).or_default();
            if *connections >= max_per_ip {
                return Err(self.refuse(CloseReason::OverMaxConnectionsPerIp));
            }
            *connections += 1;
            permit.ip = Some(ip);
        }
        Ok(permit)
    }

    /// Returns the number of connections accepted so far, including refused ones.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn open(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns the number of connections refused for `reason`.
    pub(crate) fn refused(&self, reason: CloseReason) -> u64 {
        self.refused[reason as usize].load(Ordering::Relaxed)
    }

    fn refuse(&self, reason: CloseReason) -> CloseReason {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
        reason
    }

    fn by_ip(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_ip.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limit.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(ip) = self.ip {
            let mut by_ip = self.limit.by_ip();
            match by_ip.get_mut(&ip) {
                Some(connections) if *connections > 1 => *connections -= 1,
                _ => drop(by_ip.remove(&ip)), // an address without connections takes no memory
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_over_the_limit_are_refused_until_one_closes() {
        let limit = ConnectionLimit::new(2, None);
        let first = limit.admit(None).unwrap();
        let _second = limit.admit(None).unwrap();
        assert_eq!(limit.admit(None).unwrap_err(), CloseReason::OverMaxConnections);
        assert_eq!(limit.refused(CloseReason::OverMaxConnections), 1);
        drop(first);
        assert!(limit.admit(None).is_ok());
    }

    #[test]
    fn each_address_has_a_limit_and_is_removed_with_its_last_connection() {
        let limit = ConnectionLimit::new(10, Some(1));
        let [one, two] = [1, 2].map(|last| Some(IpAddr::from([127, 0, 0, last])));
        let first = limit.admit(one).unwrap();
        assert_eq!(limit.admit(one).unwrap_err(), CloseReason::OverMaxConnectionsPerIp);
        let _second = limit.admit(two).unwrap();
        let _unix = [limit.admit(None).unwrap(), limit.admit(None).unwrap()];
        drop(first);
        assert_eq!(limit.by_ip().len(), 1);
        assert!(limit.admit(one).is_ok());
        assert_eq!(limit.connections.load(Ordering::Relaxed), 3);
    }
}
