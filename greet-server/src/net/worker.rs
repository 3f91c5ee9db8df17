//! Runs the workers. A worker is a thread with a current-thread runtime and its connections.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use futures_util::future::select_all;
use futures_util::stream::FuturesUnordered;
use greet_flags::product;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{self, JoinSet};

use super::close_log::{Close, CloseLog};
use super::connection::{self, Opened};
use super::connection_limit::ConnectionPermit;
use super::handshake::{HandshakeError, negotiate_plaintext, negotiate_tls};
use super::listener::Accepted;
use super::transport::Transport;
use crate::config::Limits;
use crate::grpc::connection_state::{GoawayTrigger, Peer};
use crate::grpc::{Method, Router};
use crate::telemetry::metrics::close_reason::CloseReason;
use crate::telemetry::metrics::worker::{CallTotals, WorkerMetrics};

/// Tasks that a runtime polls before it looks for new I/O. tokio's default is 61; a turn of a busy
/// connection takes up to a millisecond.
const MAX_POLLS_PER_IO_CHECK: u32 = 16;

/// Connections that wait for their first poll on a worker. Further ones wait in the kernel's queue and count
/// against no limit: peers that connect and close faster than workers serve would otherwise use up
/// `--max-connections` with connections that no longer exist.
const MAX_UNSTARTED_CONNECTIONS: usize = 128;

/// Builds the router of a worker on its thread, so that workers share no services.
pub(crate) type MakeRouter = Arc<dyn Fn() -> Router + Send + Sync>;

#[derive(Debug, Clone)]
pub(crate) struct Workers(Arc<[Worker]>);

/// The handle of a worker for other threads.
#[derive(Debug)]
pub(crate) struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    methods: Box<[Method]>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    /// A permit for each connection that may wait for its first poll.
    unstarted: Arc<Semaphore>,
}

/// Completes when the worker's thread ends, with an error if it panicked or could not start.
pub(crate) type Ended = oneshot::Receiver<()>;

#[derive(Debug)]
enum Command {
    Serve(Accepted, ConnectionPermit, Option<OwnedSemaphorePermit>),
    Drain,
    Cut,
}

impl Workers {
    pub(crate) fn start(
        count: usize,
        limits: Limits,
        make_router: &MakeRouter,
    ) -> io::Result<(Workers, FuturesUnordered<Ended>)> {
        let started = (0..count).map(|index| Worker::start(index, limits, make_router.clone()));
        let (workers, ended): (Vec<_>, _) =
            started.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
        Ok((Workers(workers.into()), ended))
    }

    /// Returns the served methods, which are the same on every worker.
    pub(crate) fn methods(&self) -> &[Method] {
        self.iter().next().map_or(&[], |worker| &worker.methods)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Worker> + Clone {
        self.0.iter()
    }

    pub(crate) fn calls(&self) -> CallTotals {
        CallTotals {
            answered: self.sum(|metrics| metrics.calls_answered.get()),
            abandoned: self.sum(|metrics| metrics.calls_abandoned.get()),
            in_flight: self.sum(|metrics| metrics.calls_in_flight.get()),
        }
    }

    pub(crate) fn closed(&self, reason: CloseReason) -> u64 {
        self.sum(|metrics| metrics.closed(reason).get())
    }

    pub(crate) fn sum(&self, value: impl Fn(&WorkerMetrics) -> u64) -> u64 {
        self.iter().map(|worker| value(&worker.metrics)).sum()
    }

    /// Waits until a worker can take a connection.
    pub(crate) async fn ready(&self) {
        if !self.iter().any(Worker::is_ready) {
            let permits = self.iter().map(|worker| Box::pin(worker.unstarted.acquire()));
            let _ = select_all(permits).await; // the permit is dropped: `serve` takes one
        }
    }

    /// Returns the worker with the fewest connections, the first among equals. One that cannot take a
    /// connection, as its thread is blocked, is chosen only if none can.
    pub(crate) fn least_loaded(&self) -> &Worker {
        let load = |worker: &&Worker| {
            (!worker.is_ready(), worker.metrics.connections.load(Ordering::Relaxed))
        };
        self.iter().min_by_key(load).expect("the configuration has at least one worker")
    }
}

impl Worker {
    /// Starts a thread, and waits until it has its services.
    fn start(index: usize, limits: Limits, make_router: MakeRouter) -> io::Result<(Worker, Ended)> {
        let (commands, received) = mpsc::unbounded_channel();
        let (ending, ended) = oneshot::channel();
        let (started, starting) = std::sync::mpsc::sync_channel(1);
        thread::Builder::new().name(format!("{}-worker-{index}", product::NAME)).spawn(
            move || {
                let mut builder = Builder::new_current_thread();
                builder.enable_all().event_interval(MAX_POLLS_PER_IO_CHECK);
                let runtime = match builder.build_local(LocalOptions::default()) {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(started.send(Err(error))),
                };
                let ending = runtime.block_on(async {
                    let router = make_router();
                    let methods = router.methods.iter().map(|served| served.method).collect();
                    let _ = started.send(Ok((methods, router.state.metrics.clone())));
                    let transport = Rc::new(Transport::new(limits, router));
                    Connections::new(transport).run(received, ending).await
                });
                drop(runtime); // and with it the connections that a cut has left
                ending.map(|ending| ending.send(())); // after a cut that timed out there is no receiver
            },
        )?;
        let started = starting.recv().map_err(|_| io::Error::other("a worker has panicked"))?;
        let (methods, metrics) = started?;
        let unstarted = Arc::new(Semaphore::new(MAX_UNSTARTED_CONNECTIONS));
        Ok((Worker { commands, methods, metrics, unstarted }, ended))
    }

    fn is_ready(&self) -> bool {
        self.unstarted.available_permits() > 0
    }

    /// Serves a connection, or closes it if the worker has ended.
    pub(crate) fn serve(&self, connection: Accepted, permit: ConnectionPermit) {
        self.metrics.connections.fetch_add(1, Ordering::Relaxed);
        let unstarted = self.unstarted.clone().try_acquire_owned().ok();
        let _ = self.commands.send(Command::Serve(connection, permit, unstarted));
    }

    /// Sends GOAWAY on every connection; the worker ends when the last has finished.
    pub(crate) fn drain(&self) {
        let _ = self.commands.send(Command::Drain);
    }

    /// Ends the worker, its connections and its runtime at once.
    pub(crate) fn cut(&self) {
        let _ = self.commands.send(Command::Cut);
    }
}

struct Connections {
    transport: Rc<Transport>,
    tasks: JoinSet<(Peer, Option<Close>)>,
    log: CloseLog,
    /// One per connection. A channel for all would cost more: each poll of a connection polls its
    /// receiver, for a oneshot an atomic load.
    goaways: HashMap<task::Id, GoawayTrigger>,
}

impl Connections {
    fn new(transport: Rc<Transport>) -> Connections {
        let (tasks, log, goaways) = (JoinSet::new(), CloseLog::default(), HashMap::new());
        Connections { transport, tasks, log, goaways }
    }

    /// Runs until a cut, and then returns `ending` if it has not been used. It signals the end of the
    /// drain; the runtime goes on, because handlers of other workers may use what was opened on it,
    /// such as a pool of connections.
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        ending: oneshot::Sender<()>,
    ) -> Option<oneshot::Sender<()>> {
        let mut is_draining = false;
        while !(is_draining && self.tasks.is_empty()) {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Serve(connection, permit, unstarted)) => {
                        self.spawn(connection, permit, unstarted);
                    }
                    Some(Command::Drain) => {
                        is_draining = true;
                        self.goaways.values().for_each(GoawayTrigger::drain);
                    }
                    Some(Command::Cut) | None => {
                        self.cut();
                        return Some(ending);
                    }
                },
                Some(ended) = self.tasks.join_next_with_id() => match ended {
                    Ok((id, (peer, close))) => {
                        self.remove(id, close.as_ref().map(|close| close.reason));
                        if let Some(close) = close {
                            self.log.closed(peer, &close);
                        }
                    }
                    Err(panic) => self.remove(panic.id(), Some(CloseReason::Panic)),
                },
            }
        }
        drop(self); // the logs write what they have suppressed
        let _ = ending.send(());
        while !matches!(commands.recv().await, Some(Command::Cut) | None) {}
        None
    }

    fn spawn(
        &mut self,
        connection: Accepted,
        permit: ConnectionPermit,
        unstarted: Option<OwnedSemaphorePermit>,
    ) {
        let transport = self.transport.clone();
        let (peer, protocols) = (connection.peer(), transport.protocols());
        let is_tls = matches!(connection, Accepted::Tls(..));
        let (opened, goaway) = Opened::new(peer, is_tls, transport.memory());
        let task = self.tasks.spawn_local(async move {
            let _permit = permit;
            drop(unstarted);
            // Boxed, because a task is as large as its largest branch, the TLS handshake.
            let close = match connection {
                Accepted::Tcp(stream, _) => {
                    let io = registered(TcpStream::from_std(stream));
                    let handshake = Box::pin(async { negotiate_plaintext(io?, protocols).await });
                    Box::pin(connection::serve(handshake, opened, transport)).await
                }
                Accepted::Tls(stream, _, config) => {
                    let io = registered(TcpStream::from_std(stream));
                    let metrics = transport.metrics().clone();
                    let handshake = Box::pin(async move {
                        negotiate_tls(io?, config, peer, protocols, &metrics).await
                    });
                    Box::pin(connection::serve(handshake, opened, transport)).await
                }
                #[cfg(unix)]
                Accepted::Unix(stream) => {
                    let io = registered(UnixStream::from_std(stream));
                    let handshake = Box::pin(async { negotiate_plaintext(io?, protocols).await });
                    Box::pin(connection::serve(handshake, opened, transport)).await
                }
            };
            (peer, close)
        });
        self.goaways.insert(task.id(), goaway);
    }

    fn remove(&mut self, id: task::Id, reason: Option<CloseReason>) {
        self.goaways.remove(&id);
        let metrics = self.transport.metrics();
        metrics.connections.fetch_sub(1, Ordering::Relaxed);
        match reason {
            Some(reason) => metrics.closed(reason).add(1),
            None => metrics.closed_by_peer.add(1),
        }
    }

    /// Counts the remaining connections. The runtime's drop closes them.
    fn cut(&self) {
        let remaining = self.tasks.len() as u64;
        self.transport.metrics().closed(CloseReason::Cut).add(remaining);
    }
}

/// Logs a socket that could not be registered with this worker's runtime.
fn registered<IO>(io: io::Result<IO>) -> Result<IO, HandshakeError> {
    io.map_err(|error| {
        tracing::error!(%error, "connection registration failed");
        None
    })
}
