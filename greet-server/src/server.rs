//! The daemon put together: [`Server::bind`] takes the sockets, [`Server::run`] serves on them.

use std::sync::Arc;

use greet_proto::Greeter;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::lifecycle::{Lifecycle, RunError};
use crate::phase::Phase;
use crate::rpc::{Rpc, Services};
use crate::stats::CloseCause;
use crate::transport::acceptor;
use crate::transport::listener::{BindError, Listener};
use crate::transport::worker::{MakeRpc, Workers};

/// A daemon whose sockets are bound and whose clients are let in by the kernel already.
pub struct Server {
    config: Config,
    listeners: Vec<Listener>,
    phase: watch::Sender<Phase>,
    make_rpc: MakeRpc,
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Calls that were answered, whatever their status.
    pub answered: u64,
    /// Calls that their client gave up, or lost with its connection.
    pub abandoned: u64,
    /// Calls that the drain timeout or a second signal cut.
    pub cut: u64,
    /// Connections that the daemon closed, by cause.
    pub closed: Vec<(CloseCause, u64)>,
}

impl Outcome {
    /// 0 if every accepted call was answered, 3 if any was cut.
    pub fn exit_code(&self) -> u8 {
        if self.cut == 0 { 0 } else { 3 }
    }
}

impl Server {
    /// Binds every address of the configuration. Needs a tokio runtime.
    ///
    /// `greeter` is cloned once for each worker.
    ///
    /// # Errors
    /// The first address that cannot be listened on.
    pub async fn bind<G>(config: Config, greeter: G) -> Result<Server, BindError>
    where
        G: Greeter + Clone,
    {
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.push(Listener::bind(address).await?);
        }
        let (phase, watched) = watch::channel(Phase::Starting);
        let make_rpc = make_rpc(&config, greeter, watched);
        Ok(Server { config, listeners, phase, make_rpc })
    }

    /// What clients connect to: `http://HOST:PORT` or `unix:PATH`, one for each listener.
    pub fn addresses(&self) -> Vec<String> {
        self.listeners.iter().map(Listener::url).collect()
    }

    /// Serves until `drain` completes and everything accepted is answered; `cut` shortens that.
    ///
    /// # Errors
    /// A worker or a listener failed while serving.
    pub async fn run(
        self,
        drain: impl Future<Output = ()>,
        cut: impl Future<Output = ()>,
    ) -> Result<Outcome, RunError> {
        let config = self.config;
        let (workers, ended) = Workers::start(config.workers.get(), config.limits, &self.make_rpc)
            .map_err(RunError::Start)?;
        tracing::info!(
            addresses = ?self.listeners.iter().map(Listener::url).collect::<Vec<_>>(),
            workers = config.workers,
            limits = ?config.limits,
            "listening"
        );
        let mut acceptors = JoinSet::new();
        for listener in self.listeners {
            acceptors.spawn(acceptor::accept(listener, workers.clone(), self.phase.subscribe()));
        }
        let lifecycle = Lifecycle {
            phase: self.phase,
            acceptors,
            workers: workers.clone(),
            ended,
            times: config.drain,
        };
        let calls = lifecycle.run(drain, cut).await?;
        let outcome = Outcome {
            answered: calls.answered,
            abandoned: calls.abandoned,
            cut: calls.in_flight,
            closed: CloseCause::ALL.map(|cause| (cause, workers.closed(cause))).to_vec(),
        };
        report(&outcome);
        Ok(outcome)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

fn make_rpc<G>(config: &Config, greeter: G, phase: watch::Receiver<Phase>) -> MakeRpc
where
    G: Greeter + Clone,
{
    let (limits, instance, reflection) =
        (config.limits, config.instance.clone(), config.reflection);
    Arc::new(move |stats| Rpc {
        services: Services::new(greeter.clone(), phase.clone(), reflection, &limits),
        limits,
        instance: instance.clone(),
        phase: phase.clone(),
        stats,
    })
}

fn report(outcome: &Outcome) {
    let Outcome { answered, abandoned, cut, .. } = outcome;
    let closed: Vec<_> = outcome
        .closed
        .iter()
        .filter(|(_, connections)| *connections > 0)
        .map(|(cause, connections)| format!("{}: {connections}", cause.name()))
        .collect();
    let closed = closed.join(", ");
    match cut {
        0 => tracing::info!(answered, abandoned, cut, closed, "stopped"),
        _ => tracing::warn!(answered, abandoned, cut, closed, "stopped, calls were cut"),
    }
}
