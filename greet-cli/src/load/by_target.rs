//! Counts calls by the server that answered them, of a load test over several servers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::recorder::Histogram;
use crate::client::Call;
use crate::connect::Target;

/// Maximum peers with figures of their own, each of which takes some kilobytes: a name may have
/// other addresses at each lookup. The calls of further peers are counted without a peer.
const MAX_PEERS: usize = 1_000;

/// The calls of each server.
#[derive(Debug, Default)]
pub(super) struct ByTarget(BTreeMap<Server, ServerCounts>);

/// A target, and the address of the peer; `None` for calls without a connection.
type Server = (Arc<Target>, Option<Arc<str>>);

/// The calls of one server.
#[derive(Debug)]
pub(super) struct ServerCounts {
    /// Latencies of the calls that ended OK.
    pub(super) latency: Histogram,
    pub(super) failed: u64,
}

impl ByTarget {
    pub(super) fn record<Reply>(&mut self, latency: Duration, call: &Call<Reply>) {
        let counts = self.server((Arc::clone(&call.target), call.stages.peer.clone()));
        match call.result {
            Ok(_) => counts.latency.record(latency),
            Err(_) => counts.failed += 1,
        }
    }

    /// Adds the calls of another worker.
    pub(super) fn add(&mut self, other: ByTarget) {
        for (server, ServerCounts { latency, failed }) in other.0 {
            let counts = self.server(server);
            counts.latency.add(&latency);
            counts.failed += failed;
        }
    }

    /// Returns the servers in the order of the targets' names.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Target, Option<&str>, &ServerCounts)> {
        self.0.iter().map(|((target, peer), counts)| (target.as_ref(), peer.as_deref(), counts))
    }

    fn server(&mut self, mut server: Server) -> &mut ServerCounts {
        if self.0.len() >= MAX_PEERS && !self.0.contains_key(&server) {
            server.1 = None;
        }
        let new = || ServerCounts { latency: Histogram::coarse(), failed: 0 };
        self.0.entry(server).or_insert_with(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_beyond_limit_are_counted_together() {
        let target = Arc::new("a:1".parse().unwrap());
        let record = |by_target: &mut ByTarget, peers: std::ops::Range<usize>| {
            for peer in peers {
                let mut call = Call::<()>::new(Arc::clone(&target));
                call.stages.peer = Some(peer.to_string().into());
                by_target.record(Duration::from_micros(1), &call);
            }
        };
        let mut by_target = ByTarget::default();
        record(&mut by_target, 0..MAX_PEERS);
        assert_eq!(by_target.all().count(), MAX_PEERS);
        assert!(by_target.all().all(|(_, peer, _)| peer.is_some()));

        record(&mut by_target, MAX_PEERS..MAX_PEERS + 2);
        record(&mut by_target, 0..1);
        assert_eq!(by_target.all().count(), MAX_PEERS + 1);
        let calls = |peer| by_target.all().find(|it| it.1 == peer).unwrap().2.latency.count();
        assert_eq!((calls(None), calls(Some("0"))), (2, 2));
    }
}
