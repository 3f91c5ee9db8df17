//! Selects the endpoint of each call: targets in turn, and of a `dns:` target its addresses. A name
//! is looked up when a call needs it, and again when none of its addresses is reachable.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::call::CallOptions;
use super::connect_failures::Server;
use super::pool::{Endpoint, PooledConnection};
use crate::connect::{Stages, Target};
use crate::error::ConnectError;

/// The endpoints and the number of the next turn.
#[derive(Debug)]
pub(crate) struct Balancer {
    /// In the order of the targets. A lookup replaces a name by its addresses.
    endpoints: RefCell<Vec<Arc<Endpoint>>>,
    turn: Cell<usize>,
}

/// The reason that there is no connection.
#[derive(Debug)]
pub(crate) struct Unreachable {
    pub(crate) target: Arc<Target>,
    pub(crate) error: ConnectError,
    pub(crate) remaining: Remaining,
}

/// The endpoints that a call can still try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remaining {
    Endpoints,
    /// Only names, whose addresses may have changed.
    Name,
    Nothing,
}

impl Balancer {
    pub(crate) fn new(endpoints: Vec<Arc<Endpoint>>) -> Balancer {
        Balancer { endpoints: RefCell::new(endpoints), turn: Cell::new(0) }
    }

    pub(crate) fn len(&self) -> usize {
        self.endpoints.borrow().len()
    }

    /// Returns whether it sends calls to the server, or would.
    pub(crate) fn uses(&self, server: &Server) -> bool {
        self.endpoints.borrow().iter().any(|endpoint| endpoint.server() == *server)
    }

    /// Returns a connection to the next endpoint, if it is open: the one with this number, or the next
    /// in turn.
    pub(crate) fn open_connection(
        &self,
        number: Option<usize>,
    ) -> Option<(Arc<Endpoint>, PooledConnection)> {
        let turn = self.turn.get();
        let endpoint = self.select(turn);
        let connection = endpoint.open_connection(number)?;
        self.turn.set(turn.wrapping_add(1));
        Some((endpoint, connection))
    }

    /// Returns a connection to the next endpoint, for a call that ends by `deadline`. `stages` are
    /// those of the previous try, whose lookup is reused.
    pub(crate) async fn connection(
        &self,
        call_options: &CallOptions,
        deadline: Instant,
        stages: &mut Stages,
    ) -> Result<(Arc<Endpoint>, PooledConnection), Unreachable> {
        let before = std::mem::take(stages);
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let latest = call_options.connect_deadline(deadline);
        loop {
            let endpoint = self.select(turn);
            let by = latest.min(self.time_share(deadline));
            let connected = if endpoint.is_name() {
                match endpoint.look_up(by, stages).await {
                    Ok(addresses) => {
                        self.replace_name(&endpoint, &addresses);
                        continue;
                    }
                    Err(error) => Err(error),
                }
            } else {
                if endpoint.was_found_by(&before) {
                    (stages.dns, stages.addresses) = (before.dns, before.addresses.clone());
                }
                endpoint.connection(by, stages).await
            };
            return match connected {
                Ok(connection) => Ok((endpoint, connection)),
                Err(error) => {
                    let remaining = self.eject(&endpoint, call_options);
                    Err(Unreachable { target: Arc::clone(&endpoint.target), error, remaining })
                }
            };
        }
    }

    /// Opens all connections to all endpoints; fails if no endpoint is reachable.
    pub(crate) async fn connect_all(&self, connect_by: Instant) -> Result<(), ConnectError> {
        let looked_up = self.look_up_all(connect_by, &mut Stages::default()).await;
        let endpoints: Vec<_> = self.endpoints.borrow().clone();
        let known = endpoints.iter().filter(|endpoint| !endpoint.is_name());
        let results = join_all(known.map(|endpoint| endpoint.connect_all(connect_by))).await;
        if results.iter().any(Result::is_ok) {
            return Ok(());
        }
        looked_up?;
        results.into_iter().collect()
    }

    /// Looks up all names and returns a balancer for each endpoint.
    pub(crate) async fn split(
        &self,
        connect_by: Instant,
        stages: &mut Stages,
    ) -> Result<Vec<Balancer>, ConnectError> {
        self.look_up_all(connect_by, stages).await?;
        let endpoints = self.endpoints.borrow();
        Ok(endpoints.iter().map(|endpoint| Balancer::new(vec![Arc::clone(endpoint)])).collect())
    }

    /// Looks up all names and returns the first error.
    async fn look_up_all(&self, by: Instant, stages: &mut Stages) -> Result<(), ConnectError> {
        let endpoints = self.endpoints.borrow().clone();
        let mut result = Ok(());
        for name in endpoints.iter().filter(|endpoint| endpoint.is_name()) {
            let looked_up = name.look_up(by, stages).await;
            result = result.and(looked_up.map(|addresses| self.replace_name(name, &addresses)));
        }
        result
    }

    /// Replaces a name by its addresses, unless another call has done so.
    fn replace_name(&self, name: &Arc<Endpoint>, addresses: &[SocketAddr]) {
        let mut endpoints = self.endpoints.borrow_mut();
        if let Some(place) = endpoints.iter().position(|endpoint| Arc::ptr_eq(endpoint, name)) {
            let each = addresses.iter().map(|address| Arc::new(name.at(Some(*address))));
            endpoints.splice(place..=place, each);
        }
    }

    /// Returns the reachable endpoint of this turn; if none is reachable, any. Turns count reachable
    /// endpoints only, or the one after a dead endpoint would have two of them.
    fn select(&self, turn: usize) -> Arc<Endpoint> {
        let endpoints = self.endpoints.borrow();
        let mut reachable = endpoints.iter().filter(|endpoint| !endpoint.is_ejected());
        let selected = match reachable.clone().count() {
            0 => None,
            count => reachable.nth(turn % count),
        };
        Arc::clone(selected.unwrap_or(&endpoints[turn % endpoints.len()]))
    }

    /// Returns when an attempt to connect ends: each endpoint that is not ejected has an equal
    /// share of the time until `deadline`, so that a silent one leaves time for the others.
    fn time_share(&self, deadline: Instant) -> Instant {
        let endpoints = self.endpoints.borrow();
        let remaining = endpoints.iter().filter(|endpoint| !endpoint.is_ejected()).count();
        let now = Instant::now();
        let time = deadline.saturating_duration_since(now);
        now + time / u32::try_from(remaining.max(1)).unwrap_or(u32::MAX)
    }

    /// Ejects an unreachable endpoint. If it was the last reachable address of its name, the name
    /// replaces all its addresses, to be looked up again.
    fn eject(&self, endpoint: &Arc<Endpoint>, call_options: &CallOptions) -> Remaining {
        let timeout =
            call_options.connect_timeout.unwrap_or(Duration::MAX).min(call_options.timeout);
        let mut endpoints = self.endpoints.borrow_mut();
        // Another call may have replaced it by its name already.
        if endpoints.iter().any(|other| Arc::ptr_eq(other, endpoint)) {
            let is_alone = endpoints.len() == 1;
            if !is_alone {
                endpoint.eject(timeout);
            }
            let is_sibling = |other: &Arc<Endpoint>| other.is_sibling_of(endpoint);
            let place = endpoints.iter().position(is_sibling).unwrap_or_default();
            let mut siblings = endpoints.iter().filter(|other| is_sibling(other));
            if endpoint.is_per_address() && (is_alone || siblings.all(|other| other.is_ejected())) {
                endpoints.retain(|other| !is_sibling(other));
                let name = Arc::new(endpoint.at(None));
                if endpoints.iter().any(|other| !other.is_ejected()) {
                    name.eject(timeout);
                }
                endpoints.insert(place, name);
            }
        }
        let mut reachable = endpoints.iter().filter(|endpoint| !endpoint.is_ejected()).peekable();
        if reachable.peek().is_none() {
            Remaining::Nothing
        } else if reachable.all(|endpoint| endpoint.is_name()) {
            Remaining::Name
        } else {
            Remaining::Endpoints
        }
    }
}
