//! A target and the connections to it: each made when a call needs it, by that call, while those that
//! need it too wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Uri;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::connection::{Connection, Stages, Traffic, connect};
use crate::not_connected::NotConnected;
use crate::target::Target;
use crate::tls::Tls;

/// What can be called.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    SayHello,
    Check,
    Watch,
}

/// One target.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) target: Arc<Target>,
    uris: [Uri; Method::ALL.len()],
    tls: Option<Arc<Tls>>,
    lines: Vec<Mutex<Line>>,
    traffic: Arc<Traffic>,
    turn: AtomicUsize,
    /// It could not be reached, and calls go elsewhere until it can.
    left_out: AtomicBool,
}

/// Room for one connection.
#[derive(Debug, Default)]
struct Line {
    connection: Option<Connection>,
    /// Which one it is: they are counted.
    serial: u64,
    /// How it was made, if that was ahead of any call.
    ahead: Option<Stages>,
    /// When connecting last failed, and how: whoever waited for it meanwhile has failed with it.
    failed: Option<(Instant, NotConnected)>,
}

/// A connection that a call may be sent on.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) sender: SendRequest<Bytes>,
    pub(crate) peer: Arc<str>,
    /// How it was made, if this call is the first on it.
    pub(crate) made: Option<Stages>,
    /// Time that it took before the call began.
    pub(crate) ahead: Duration,
    line: usize,
    serial: u64,
}

impl Endpoint {
    pub(crate) fn new(
        target: &Target,
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
            target: Arc::new(target.clone()),
            uris: Method::ALL.map(|method| uri(target, &authority, method)),
            tls,
            lines: (0..connections).map(|_| Mutex::default()).collect(),
            traffic,
            turn: AtomicUsize::new(0),
            left_out: AtomicBool::new(false),
        }
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
    ) -> Result<Ready, NotConnected> {
        let begun = Instant::now();
        let index = self.turn.fetch_add(1, Ordering::Relaxed) % self.lines.len();
        let Ok(mut line) = timeout_at(deadline, self.lines[index].lock()).await else {
            // Another call is at it, and its time is not over yet.
            let (peer, after) = (self.target.to_string(), begun.elapsed());
            return Err(NotConnected::ConnectTimeout { peer, after });
        };
        let mut made = None;
        if !line.connection.as_ref().is_some_and(Connection::takes_calls) {
            if let Some((_, problem)) = line.failed.as_ref().filter(|(at, _)| *at > begun) {
                return Err(problem.clone());
            }
            line.ahead = None;
            line.connection = None;
            // Boxed: it is large, and the many calls that need no connection are moved about.
            let (tls, traffic) = (self.tls.as_deref(), &self.traffic);
            let connecting = Box::pin(connect(&self.target, tls, deadline, stages, traffic));
            match connecting.await {
                Ok(connection) => {
                    line.connection = Some(connection);
                    line.serial += 1;
                }
                Err(problem) => {
                    line.failed = Some((Instant::now(), problem.clone()));
                    return Err(problem);
                }
            }
            made = Some(stages.clone());
        }
        let ahead = line.ahead.take();
        let connection = line.connection.as_ref().expect("it stood, or was made just now");
        Ok(Ready {
            sender: connection.sender.clone(),
            peer: connection.peer.clone(),
            ahead: ahead.as_ref().map(Stages::total).unwrap_or_default(),
            made: made.or(ahead),
            line: index,
            serial: line.serial,
        })
    }

    /// Makes all connections ahead of the first call.
    pub(crate) async fn connect_all(&self, deadline: Instant) -> Result<(), NotConnected> {
        for _ in &self.lines {
            self.connection(deadline, &mut Stages::default()).await?;
        }
        Ok(())
    }

    /// Connects ahead of the first call.
    pub(crate) async fn reach(&self, deadline: Instant) -> Result<(), NotConnected> {
        let mut stages = Stages::default();
        let ready = self.connection(deadline, &mut stages).await?;
        self.turn.store(ready.line, Ordering::Relaxed); // the first call is to go over this one
        self.lines[ready.line].lock().await.ahead = ready.made;
        Ok(())
    }

    /// Forgets a connection that takes no more calls.
    pub(crate) fn discard(&self, ready: &Ready) {
        // If it is held, somebody makes another one already.
        if let Ok(mut line) = self.lines[ready.line].try_lock()
            && line.serial == ready.serial
        {
            line.connection = None;
        }
    }

    pub(crate) fn is_left_out(&self) -> bool {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Leaves it out of the turns until it can be reached again, which is tried meanwhile.
    pub(crate) fn leave_out(self: &Arc<Self>, timeout: Duration) {
        if self.left_out.swap(true, Ordering::Relaxed) {
            return;
        }
        let endpoint = Arc::clone(self);
        tokio::spawn(async move {
            let mut backoff = Backoff::new();
            loop {
                sleep(backoff.next()).await;
                let deadline = Instant::now() + timeout;
                if endpoint.connection(deadline, &mut Stages::default()).await.is_ok() {
                    break endpoint.left_out.store(false, Ordering::Relaxed);
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
