//! An endpoint and its pool of connections. The first call that needs a connection makes it;
//! concurrent calls wait for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Uri;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use super::call::CallOptions;
use super::connect_failures::{ConnectFailures, Server};
use super::retry::Backoff;
use crate::connect::{
    Connection, Exclusion, Proxy, Stages, Target, Tls, Traffic, connect, look_up,
};
use crate::error::ConnectError;
use crate::format::HumanDuration;

/// A target, or one address of a `dns:` target.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) target: Arc<Target>,
    address: Option<SocketAddr>,
    looked_up: Mutex<Option<LookedUp>>,
    /// The `:scheme` and the `:authority` of its calls.
    scheme: Scheme,
    authority: Authority,
    proxy: Option<Arc<Proxy>>,
    /// Why the proxy of the environment is not used, if there is one.
    not_proxied: Option<Exclusion>,
    tls: Option<Arc<Tls>>,
    slots: Vec<Mutex<Slot>>,
    shared: Arc<Shared>,
    turn: AtomicUsize,
    /// Whether it is unreachable and gets no calls.
    ejected: AtomicBool,
}

/// What all endpoints of a client count.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) failures: ConnectFailures,
}

/// The end of the last lookup and its result, which calls that waited for it share.
type LookedUp = (Instant, Result<Vec<SocketAddr>, ConnectError>);

/// A place for one connection.
#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    /// The number of the connection, counted in this slot.
    serial: u64,
    /// The stages of a connection that was made ahead of its first call.
    ahead: Option<Box<Stages>>,
    /// The last failure to connect and its time, which calls that waited for it share.
    failed: Option<(Instant, ConnectError)>,
}

/// A connection for one call.
#[derive(Debug)]
pub(crate) struct PooledConnection {
    pub(crate) sender: SendRequest<Bytes>,
    pub(crate) peer: Arc<str>,
    /// The stages of connecting, if this call is the first on the connection. Boxed because they are
    /// large, and most calls have none.
    pub(crate) made: Option<Box<Stages>>,
    /// Time spent on connecting before the call started.
    pub(crate) ahead: Duration,
    slot: usize,
    serial: u64,
}

impl Slot {
    /// Returns its connection, if that accepts calls.
    fn open_connection(&mut self, index: usize) -> Option<PooledConnection> {
        let connection = self.connection.as_mut()?;
        if !connection.accepts_calls() {
            return None;
        }
        let (sender, peer) = (connection.sender.clone(), connection.peer.clone());
        let made = self.ahead.take();
        let ahead = made.as_ref().map(|stages| stages.total()).unwrap_or_default();
        Some(PooledConnection { sender, peer, ahead, made, slot: index, serial: self.serial })
    }
}

impl Endpoint {
    pub(crate) fn new(
        target: &Arc<Target>,
        call_options: &CallOptions,
        connections: usize,
        shared: &Arc<Shared>,
    ) -> Endpoint {
        let proxy = call_options.proxy.as_ref();
        let not_proxied = proxy.and_then(|proxy| proxy.exclusion(target));
        let proxy = proxy.filter(|_| not_proxied.is_none()).cloned();
        let tls = call_options.tls.as_ref().filter(|_| target.is_tls()).cloned();
        let name = tls.as_ref().and_then(|tls| tls.server_name());
        let authority = match (&call_options.authority, name) {
            (Some(authority), _) => authority.to_string(),
            (None, Some(name)) if name.to_str().contains(':') => format!("[{}]", name.to_str()),
            (None, Some(name)) => name.to_str().into_owned(),
            (None, None) => target.authority(),
        };
        Endpoint {
            target: Arc::clone(target),
            address: None,
            looked_up: Mutex::default(),
            scheme: target.scheme().parse().expect("http and https are schemes"),
            authority: authority.parse().expect("targets and server names are valid"),
            proxy,
            not_proxied,
            tls,
            slots: (0..connections).map(|_| Mutex::default()).collect(),
            shared: Arc::clone(shared),
            turn: AtomicUsize::new(0),
            ejected: AtomicBool::new(false),
        }
    }

    /// Returns the same endpoint at one address of its name, or for `None` at the name.
    pub(crate) fn at(&self, address: Option<SocketAddr>) -> Endpoint {
        Endpoint {
            target: Arc::clone(&self.target),
            address,
            looked_up: Mutex::default(),
            scheme: self.scheme.clone(),
            authority: self.authority.clone(),
            proxy: self.proxy.clone(),
            not_proxied: self.not_proxied.clone(),
            tls: self.tls.clone(),
            slots: self.slots.iter().map(|_| Mutex::default()).collect(),
            shared: Arc::clone(&self.shared),
            turn: AtomicUsize::new(0),
            ejected: AtomicBool::new(false),
        }
    }

    /// Returns whether it is a name that is not looked up yet.
    pub(crate) fn is_name(&self) -> bool {
        self.is_per_address() && self.address.is_none()
    }

    /// Returns whether each address of its name gets an endpoint. A proxy looks up the name, so only the
    /// proxy knows the addresses (gRFC A1, case 1).
    pub(crate) fn is_per_address(&self) -> bool {
        self.target.is_per_address() && self.proxy.is_none()
    }

    pub(crate) fn is_sibling_of(&self, other: &Endpoint) -> bool {
        Arc::ptr_eq(&self.target, &other.target)
    }

    /// Returns whether that lookup found its address.
    pub(crate) fn was_found_by(&self, look_up: &Stages) -> bool {
        self.is_per_address()
            && self.address.is_some_and(|address| look_up.addresses.contains(&address))
    }

    /// Looks up its name; calls that do so at the same time share one lookup.
    pub(crate) async fn look_up(
        &self,
        deadline: Instant,
        stages: &mut Stages,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let started = Instant::now();
        let Ok(mut last) = timeout_at(deadline, self.looked_up.lock()).await else {
            let after = HumanDuration(started.elapsed()).to_string();
            return Err(ConnectError::LookupTimeout { host: self.target.host().to_owned(), after });
        };
        if let Some((_, result)) = last.as_ref().filter(|(at, _)| *at > started) {
            return result.clone();
        }
        stages.not_proxied.clone_from(&self.not_proxied);
        let looked_up = look_up(&self.target, deadline, stages).await;
        let result = looked_up.map(|()| stages.addresses.clone());
        self.count(&result);
        *last = Some((Instant::now(), result.clone()));
        result
    }

    /// Returns the URI of a method.
    pub(crate) fn uri(&self, path: &PathAndQuery) -> Uri {
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path.clone());
        Uri::from_parts(parts).expect("it has all parts")
    }

    /// Returns a connection, or for `None` the next in turn, if it is open.
    pub(crate) fn open_connection(&self, number: Option<usize>) -> Option<PooledConnection> {
        let turn = self.turn.load(Ordering::Relaxed);
        let index = number.unwrap_or(turn) % self.slots.len();
        // A locked slot is being connected.
        let connection = self.slots[index].try_lock().ok()?.open_connection(index)?;
        if number.is_none() {
            self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        }
        Some(connection)
    }

    /// Returns the next connection in turn and opens it, by `deadline`, if necessary.
    pub(crate) async fn connection(
        &self,
        deadline: Instant,
        stages: &mut Stages,
    ) -> Result<PooledConnection, ConnectError> {
        let started = Instant::now();
        let index = self.turn.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let Ok(mut slot) = timeout_at(deadline, self.slots[index].lock()).await else {
            // Another call is still connecting.
            let after = HumanDuration(started.elapsed()).to_string();
            return Err(ConnectError::ConnectTimeout { peer: self.target.to_string(), after });
        };
        if let Some(connection) = slot.open_connection(index) {
            return Ok(connection);
        }
        if let Some((_, error)) = slot.failed.as_ref().filter(|(at, _)| *at > started) {
            return Err(error.clone());
        }
        (slot.connection, slot.ahead) = (None, None);
        stages.not_proxied.clone_from(&self.not_proxied);
        let (proxy, tls) = (self.proxy.as_deref(), self.tls.as_deref());
        let traffic = &self.shared.traffic;
        let connecting = connect(&self.target, self.address, proxy, tls, deadline, stages, traffic);
        let connected = Box::pin(connecting).await; // boxed because it is large
        self.count(&connected);
        let connected =
            connected.inspect_err(|error| slot.failed = Some((Instant::now(), error.clone())));
        let connection = slot.connection.insert(connected?);
        let (sender, peer) = (connection.sender.clone(), connection.peer.clone());
        slot.serial += 1;
        let (made, serial) = (Some(Box::new(stages.clone())), slot.serial);
        Ok(PooledConnection { sender, peer, ahead: Duration::ZERO, made, slot: index, serial })
    }

    /// Returns it as it is counted.
    pub(crate) fn server(&self) -> Server {
        let address = self.address.map(|address| address.to_string());
        Server { target: self.target.to_string(), address }
    }

    /// Counts the result of a lookup or a connection.
    fn count<T>(&self, result: &Result<T, ConnectError>) {
        let failures = &self.shared.failures;
        match result {
            Ok(_) => failures.connected(|| self.server()),
            Err(error) => failures.failed(self.server(), error),
        }
    }

    pub(crate) async fn connect_all(&self, deadline: Instant) -> Result<(), ConnectError> {
        for _ in &self.slots {
            self.connection(deadline, &mut Stages::default()).await?;
        }
        Ok(())
    }

    /// Keeps a connection for the first call, whose time includes that of connecting.
    pub(crate) async fn keep_ahead(&self, connection: PooledConnection) {
        self.turn.store(connection.slot, Ordering::Relaxed);
        self.slots[connection.slot].lock().await.ahead = connection.made;
    }

    /// Removes a connection that accepts no more calls, unless another call has replaced it.
    pub(crate) fn discard(&self, connection: &PooledConnection) {
        // A locked slot is being replaced.
        if let Ok(mut slot) = self.slots[connection.slot].try_lock()
            && slot.serial == connection.serial
        {
            slot.connection = None;
        }
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    /// Excludes it from the turns until a connection in the background succeeds.
    pub(crate) fn eject(self: &Arc<Self>, timeout: Duration) {
        if self.ejected.swap(true, Ordering::Relaxed) {
            return;
        }
        let endpoint = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut backoff = Backoff::new();
            loop {
                sleep(backoff.next()).await;
                let Some(endpoint) = endpoint.upgrade() else {
                    break;
                };
                let deadline = Instant::now() + timeout;
                if endpoint.connection(deadline, &mut Stages::default()).await.is_ok() {
                    break endpoint.ejected.store(false, Ordering::Relaxed);
                }
            }
        });
    }
}
