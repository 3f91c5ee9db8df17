//! Who may have a connection: so many in all, so many from one address. Who comes over that is
//! refused at once, because a queue would only hide the overload from those who wait in it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::telemetry::metrics::close_reason::CloseReason;

/// The door. Asked once a connection, so a lock in it costs no call anything.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    max_connections: usize,
    max_per_ip: Option<usize>,
    connections: AtomicUsize,
    accepted: AtomicU64,
    by_ip: Mutex<HashMap<IpAddr, usize>>,
    refused_over_max: AtomicU64,
    refused_over_max_per_ip: AtomicU64,
}

/// The place of a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    admission: Arc<ConnectionLimit>,
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
            refused_over_max: AtomicU64::new(0),
            refused_over_max_per_ip: AtomicU64::new(0),
        })
    }

    /// A place for a peer at `ip`; a Unix socket's has none.
    pub(crate) fn admit(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
    ) -> Result<ConnectionPermit, CloseReason> {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        // From here on the place is taken; dropping it on an early return gives it back.
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        let mut permit = ConnectionPermit { admission: self.clone(), ip: None };
        if taken >= self.max_connections {
            self.refused_over_max.fetch_add(1, Ordering::Relaxed);
            return Err(CloseReason::OverMaxConnections);
        }
        if let (Some(most), Some(ip)) = (self.max_per_ip, ip) {
            let mut by_ip = self.by_ip();
            let from_there = by_ip.entry(ip).or_default();
            if *from_there >= most {
                self.refused_over_max_per_ip.fetch_add(1, Ordering::Relaxed);
                return Err(CloseReason::OverMaxConnectionsPerIp);
            }
            *from_there += 1;
            permit.ip = Some(ip);
        }
        Ok(permit)
    }

    /// Connections that ever were, those that were refused among them.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that are there.
    pub(crate) fn open(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections that were refused for this cause.
    pub(crate) fn refused(&self, cause: CloseReason) -> u64 {
        match cause {
            CloseReason::OverMaxConnections => self.refused_over_max.load(Ordering::Relaxed),
            CloseReason::OverMaxConnectionsPerIp => {
                self.refused_over_max_per_ip.load(Ordering::Relaxed)
            }
            _ => 0,
        }
    }

    fn by_ip(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_ip.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.admission.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(ip) = self.ip {
            let mut by_ip = self.admission.by_ip();
            match by_ip.get_mut(&ip) {
                Some(from_there) if *from_there > 1 => *from_there -= 1,
                _ => drop(by_ip.remove(&ip)), // an address that has left takes no memory
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_the_limit_says_and_a_place_that_is_left_is_free() {
        let admission = ConnectionLimit::new(2, None);
        let first = admission.admit(None).unwrap();
        let _second = admission.admit(None).unwrap();
        assert_eq!(admission.admit(None).unwrap_err(), CloseReason::OverMaxConnections);
        assert_eq!(admission.refused(CloseReason::OverMaxConnections), 1);
        drop(first);
        assert!(admission.admit(None).is_ok());
    }

    #[test]
    fn an_address_has_its_own_limit_and_is_forgotten_when_it_has_left() {
        let admission = ConnectionLimit::new(10, Some(1));
        let [one, two] = [1, 2].map(|last| Some(IpAddr::from([127, 0, 0, last])));
        let first = admission.admit(one).unwrap();
        assert_eq!(admission.admit(one).unwrap_err(), CloseReason::OverMaxConnectionsPerIp);
        let _second = admission.admit(two).unwrap();
        let _unix = [admission.admit(None).unwrap(), admission.admit(None).unwrap()];
        drop(first);
        assert_eq!(admission.by_ip().len(), 1);
        assert!(admission.admit(one).is_ok());
        assert_eq!(admission.connections.load(Ordering::Relaxed), 3);
    }
}
