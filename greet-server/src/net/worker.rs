//! A worker: one thread, one single-threaded runtime, and the connections that live on it.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, JoinSet};

use super::close_log::{Close, CloseLog};
use super::connection;
use super::connection_limit::ConnectionPermit;
use super::handshake::{HandshakeError, plaintext, tls};
use super::listener::Accepted;
use super::transport::Transport;
use crate::config::Limits;
use crate::grpc::Router;
use crate::grpc::connection_state::Peer;
use crate::telemetry::metrics::close_reason::CloseReason;
use crate::telemetry::metrics::worker::{CallTotals, WorkerMetrics};

/// Makes a worker's own copy of the services, on its thread: nothing in it is shared with another.
pub(crate) type MakeRouter = Arc<dyn Fn(Arc<WorkerMetrics>) -> Router + Send + Sync>;

/// All workers, as the acceptor and the lifecycle see them.
#[derive(Debug, Clone)]
pub(crate) struct Workers(Arc<[Worker]>);

/// One worker, seen from other threads.
#[derive(Debug)]
pub(crate) struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    pub(crate) metrics: Arc<WorkerMetrics>,
}

/// Completes when the worker's thread has ended; an error means that it panicked.
pub(crate) type Ended = oneshot::Receiver<()>;

#[derive(Debug)]
enum Command {
    Serve(Accepted, ConnectionPermit),
    Drain,
    Cut,
}

impl Workers {
    /// Starts `count` threads.
    pub(crate) fn start(
        count: usize,
        served_methods: usize,
        limits: Limits,
        make_router: &MakeRouter,
    ) -> io::Result<(Workers, FuturesUnordered<Ended>)> {
        let started = (0..count).map(|index| {
            let metrics = Arc::new(WorkerMetrics::new(served_methods));
            Worker::start(index, metrics, limits, make_router.clone())
        });
        let (workers, ended): (Vec<_>, _) =
            started.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
        Ok((Workers(workers.into()), ended))
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

    pub(crate) fn closed(&self, cause: CloseReason) -> u64 {
        self.sum(|metrics| metrics.closed(cause).get())
    }

    pub(crate) fn sum(&self, figure: impl Fn(&WorkerMetrics) -> u64) -> u64 {
        self.iter().map(|worker| figure(&worker.metrics)).sum()
    }

    /// The worker with the fewest connections, the first of them among equals.
    pub(crate) fn least_loaded(&self) -> &Worker {
        self.iter()
            .min_by_key(|worker| worker.metrics.connections.load(Ordering::Relaxed))
            .expect("the configuration has at least one worker")
    }
}

impl Worker {
    fn start(
        index: usize,
        metrics: Arc<WorkerMetrics>,
        limits: Limits,
        make_router: MakeRouter,
    ) -> io::Result<(Worker, Ended)> {
        let (commands, received) = mpsc::unbounded_channel();
        let (ending, ended) = oneshot::channel();
        let thread_stats = metrics.clone();
        thread::Builder::new().name(format!("greet-worker-{index}")).spawn(move || {
            if let Err(error) = run(received, limits, make_router, thread_stats) {
                tracing::error!(index, %error, "worker could not start");
                return;
            }
            let _ = ending.send(()); // nobody waits for it once the process leaves anyway
        })?;
        Ok((Worker { commands, metrics }, ended))
    }

    /// Takes a connection in. One that comes too late, after the worker ended, is closed.
    pub(crate) fn serve(&self, connection: Accepted, permit: ConnectionPermit) {
        self.metrics.connections.fetch_add(1, Ordering::Relaxed);
        let _ = self.commands.send(Command::Serve(connection, permit));
    }

    /// Sends GOAWAY to every connection; the worker ends when the last has finished.
    pub(crate) fn drain(&self) {
        let _ = self.commands.send(Command::Drain);
    }

    /// Ends the worker at once with all that is left on it.
    pub(crate) fn cut(&self) {
        let _ = self.commands.send(Command::Cut);
    }
}

fn run(
    commands: mpsc::UnboundedReceiver<Command>,
    limits: Limits,
    make_router: MakeRouter,
    metrics: Arc<WorkerMetrics>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let transport = Rc::new(Transport::new(limits, make_router(metrics)));
    runtime.block_on(Connections::new(transport).run(commands));
    Ok(())
}

/// The connections of a worker.
struct Connections {
    transport: Rc<Transport>,
    tasks: JoinSet<(Peer, Option<Close>)>,
    log: CloseLog,
    /// Dropping a sender tells its connection to drain. One each, because waiting on a oneshot
    /// costs an atomic load, and a connection looks at it on every turn.
    drains: HashMap<task::Id, oneshot::Sender<()>>,
}

impl Connections {
    fn new(transport: Rc<Transport>) -> Connections {
        Connections {
            transport,
            tasks: JoinSet::new(),
            log: CloseLog::default(),
            drains: HashMap::new(),
        }
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut draining = false;
        while !(draining && self.tasks.is_empty()) {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Serve(connection, permit)) => self.spawn(connection, permit),
                    Some(Command::Drain) => {
                        draining = true;
                        self.drains.clear();
                    }
                    Some(Command::Cut) | None => return self.cut(),
                },
                Some(ended) = self.tasks.join_next_with_id() => match ended {
                    Ok((id, (peer, close))) => {
                        self.forget(id, close.as_ref().map(|close| close.reason));
                        if let Some(close) = close {
                            self.log.closed(peer, &close);
                        }
                    }
                    Err(panic) => self.forget(panic.id(), Some(CloseReason::Panic)),
                },
            }
        }
    }

    fn spawn(&mut self, connection: Accepted, permit: ConnectionPermit) {
        let transport = self.transport.clone();
        let (drain, drained) = oneshot::channel();
        let (peer, spoken) = (connection.peer(), transport.spoken());
        let task = self.tasks.spawn_local(async move {
            let _place = permit;
            // Boxed: a task is as large as its largest way, which is a TLS handshake's.
            let cause = match connection {
                Accepted::Tcp(stream, _) => {
                    let io = || registered(TcpStream::from_std(stream));
                    let handshake = Box::pin(async { plaintext(io()?, spoken).await });
                    Box::pin(connection::serve(handshake, peer, transport, drained)).await
                }
                Accepted::Tls(stream, _, config) => {
                    let io = || registered(TcpStream::from_std(stream));
                    let metrics = transport.metrics().clone();
                    let handshake =
                        Box::pin(async move { tls(io()?, config, peer, spoken, &metrics).await });
                    Box::pin(connection::serve(handshake, peer, transport, drained)).await
                }
                #[cfg(unix)]
                Accepted::Unix(stream) => {
                    let io = || registered(UnixStream::from_std(stream));
                    let handshake = Box::pin(async { plaintext(io()?, spoken).await });
                    Box::pin(connection::serve(handshake, peer, transport, drained)).await
                }
            };
            (peer, cause)
        });
        self.drains.insert(task.id(), drain);
    }

    fn forget(&mut self, id: task::Id, cause: Option<CloseReason>) {
        self.drains.remove(&id);
        let metrics = self.transport.metrics();
        metrics.connections.fetch_sub(1, Ordering::Relaxed);
        match cause {
            Some(cause) => metrics.closed(cause).add(1),
            None => metrics.closed_by_peer.add(1),
        }
    }

    /// Leaves; what is left is dropped with the runtime, which closes its sockets.
    fn cut(self) {
        let left = self.tasks.len() as u64;
        self.transport.metrics().closed(CloseReason::Cut).add(left);
    }
}

/// A socket in this worker's runtime; `None` of a cause if the system has no room for it there.
fn registered<IO>(io: io::Result<IO>) -> Result<IO, HandshakeError> {
    io.map_err(|error| {
        tracing::error!(%error, "could not register a connection with its worker");
        None
    })
}
