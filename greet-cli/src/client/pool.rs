//! A target, or one address of its name, and the connections to it: each made when a call needs it, by
//! that call, while those that need it too wait for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Uri;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use super::retry::Backoff;
use crate::connect::{Connection, Stages, Target, Tls, Traffic, connect, look_up};
use crate::error::ConnectError;

/// What can be called.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    SayHello,
    Check,
    Watch,
}

/// One target, or one address of its name.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) target: Arc<Target>,
    address: Option<IpAddr>,
    looked_up: Mutex<Option<LookedUp>>,
    uris: [Uri; Method::ALL.len()],
    tls: Option<Arc<Tls>>,
    slots: Vec<Mutex<Slot>>,
    traffic: Arc<Traffic>,
    turn: AtomicUsize,
    /// It could not be reached, and calls go elsewhere until it can.
    ejected: AtomicBool,
}

/// How the last look-up of a name ended, and when: whoever waited for it has the same.
type LookedUp = (Instant, Result<Vec<IpAddr>, ConnectError>);

/// Room for one connection.
#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    /// Which one it is: they are counted.
    serial: u64,
    /// How it was made, if that was ahead of any call.
    ahead: Option<Stages>,
    /// When connecting last failed, and how: whoever waited for it meanwhile has failed with it.
    failed: Option<(Instant, ConnectError)>,
}

/// A connection that a call may be sent on.
#[derive(Debug)]
pub(crate) struct PooledConnection {
    pub(crate) sender: SendRequest<Bytes>,
    pub(crate) peer: Arc<str>,
    /// How it was made, if this call is the first on it.
    pub(crate) made: Option<Stages>,
    /// Time that it took before the call began.
    pub(crate) ahead: Duration,
    slot: usize,
    serial: u64,
}

impl Endpoint {
    pub(crate) fn new(
        target: &Arc<Target>,
        tls: Option<&Arc<Tls>>,
        connections: usize,
        traffic: Arc<Traffic>,
    ) -> Endpoint {
        let tls = tls.filter(|_| target.is_tls()).cloned();
        let name = tls.as_ref().and_then(|tls| tls.server_name());
        let authority = match name {
            Some(name) if name.to_str().contains(':') => format!("[{}]", name.to_str()),
            Some(name) => name.to_str().into_owned(),
            None => target.authority(),
        };
        Endpoint {
            target: Arc::clone(target),
            address: None,
            looked_up: Mutex::default(),
            uris: Method::ALL.map(|method| uri(target, &authority, method)),
            tls,
            slots: (0..connections).map(|_| Mutex::default()).collect(),
            traffic,
            turn: AtomicUsize::new(0),
            ejected: AtomicBool::new(false),
        }
    }

    /// The same at one address of its name; at `None` its name again.
    pub(crate) fn at(&self, address: Option<IpAddr>) -> Endpoint {
        Endpoint {
            target: Arc::clone(&self.target),
            address,
            looked_up: Mutex::default(),
            uris: self.uris.clone(),
            tls: self.tls.clone(),
            slots: self.slots.iter().map(|_| Mutex::default()).collect(),
            traffic: Arc::clone(&self.traffic),
            turn: AtomicUsize::new(0),
            ejected: AtomicBool::new(false),
        }
    }

    /// Whether its addresses are still to be looked up, each of which is an endpoint of its own.
    pub(crate) fn is_name(&self) -> bool {
        self.target.is_per_address() && self.address.is_none()
    }

    /// Whether both are of the same target.
    pub(crate) fn is_sibling_of(&self, other: &Endpoint) -> bool {
        Arc::ptr_eq(&self.target, &other.target)
    }

    /// Whether it is one of the addresses that a look-up of its name has found.
    pub(crate) fn was_found_by(&self, look_up: &Stages) -> bool {
        self.target.is_per_address()
            && self.address.is_some_and(|ip| look_up.addresses.contains(&ip))
    }

    /// The addresses of its name, by `deadline`.
    pub(crate) async fn look_up(
        &self,
        deadline: Instant,
        stages: &mut Stages,
    ) -> Result<Vec<IpAddr>, ConnectError> {
        let started = Instant::now();
        let Ok(mut last) = timeout_at(deadline, self.looked_up.lock()).await else {
            let (host, after) = (self.target.host().to_owned(), started.elapsed());
            return Err(ConnectError::LookupTimeout { host, after });
        };
        if let Some((_, result)) = last.as_ref().filter(|(at, _)| *at > started) {
            return result.clone();
        }
        let looked_up = look_up(&self.target, deadline, stages).await;
        let result = looked_up.map(|()| stages.addresses.clone());
        *last = Some((Instant::now(), result.clone()));
        result
    }

    /// Where a method is called.
    pub(crate) fn uri(&self, method: Method) -> Uri {
        self.uris[method as usize].clone()
    }

    /// The next connection in turn, made by `deadline` if it does not stand.
    pub(crate) async fn connection(
        &self,
        deadline: Instant,
        stages: &mut Stages,
    ) -> Result<PooledConnection, ConnectError> {
        let started = Instant::now();
        let index = self.turn.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let Ok(mut slot) = timeout_at(deadline, self.slots[index].lock()).await else {
            // Another call is at it, and its time is not over yet.
            let (peer, after) = (self.target.to_string(), started.elapsed());
            return Err(ConnectError::ConnectTimeout { peer, after });
        };
        let mut made = None;
        if !slot.connection.as_ref().is_some_and(Connection::takes_calls) {
            if let Some((_, problem)) = slot.failed.as_ref().filter(|(at, _)| *at > started) {
                return Err(problem.clone());
            }
            slot.ahead = None;
            slot.connection = None;
            // Boxed: it is large, and the many calls that need no connection are moved about.
            let (tls, traffic) = (self.tls.as_deref(), &self.traffic);
            let connecting = connect(&self.target, self.address, tls, deadline, stages, traffic);
            let connecting = Box::pin(connecting);
            match connecting.await {
                Ok(connection) => {
                    slot.connection = Some(connection);
                    slot.serial += 1;
                }
                Err(problem) => {
                    slot.failed = Some((Instant::now(), problem.clone()));
                    return Err(problem);
                }
            }
            made = Some(stages.clone());
        }
        let ahead = slot.ahead.take();
        let connection = slot.connection.as_ref().expect("it stood, or was made just now");
        Ok(PooledConnection {
            sender: connection.sender.clone(),
            peer: connection.peer.clone(),
            ahead: ahead.as_ref().map(Stages::total).unwrap_or_default(),
            made: made.or(ahead),
            slot: index,
            serial: slot.serial,
        })
    }

    /// Makes all connections ahead of the first call.
    pub(crate) async fn connect_all(&self, deadline: Instant) -> Result<(), ConnectError> {
        for _ in &self.slots {
            self.connection(deadline, &mut Stages::default()).await?;
        }
        Ok(())
    }

    /// Keeps a connection that was made ahead for the first call.
    pub(crate) async fn keep_ahead(&self, connection: PooledConnection) {
        self.turn.store(connection.slot, Ordering::Relaxed); // the first call is to go over this one
        self.slots[connection.slot].lock().await.ahead = connection.made;
    }

    /// Forgets a connection that takes no more calls.
    pub(crate) fn discard(&self, connection: &PooledConnection) {
        // If it is held, somebody makes another one already.
        if let Ok(mut slot) = self.slots[connection.slot].try_lock()
            && slot.serial == connection.serial
        {
            slot.connection = None;
        }
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Relaxed)
    }

    /// Leaves it out of the turns until it can be reached again, which is tried meanwhile, as long as
    /// anybody knows it.
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

impl Method {
    const ALL: [Method; 3] = [Method::SayHello, Method::Check, Method::Watch];

    fn path(self) -> &'static str {
        match self {
            Method::SayHello => "/greet.Greeter/SayHello",
            Method::Check => "/grpc.health.v1.Health/Check",
            Method::Watch => "/grpc.health.v1.Health/Watch",
        }
    }
}

fn uri(target: &Target, authority: &str, method: Method) -> Uri {
    let uri = Uri::builder().scheme(target.scheme()).authority(authority);
    let uri = uri.path_and_query(method.path()).build();
    uri.expect("a target and a server name are parsed already, and a method has a fixed path")
}
