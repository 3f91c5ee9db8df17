//! Moves the daemon from phase to phase: the first signal, the drain, the cut. After the signal,
//! every wait has a limit.

use std::io;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::DrainTimes;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::systemd::{ServiceManager, State};
use crate::net::worker::{Ended, Worker, Workers};
use crate::telemetry::metrics::worker::CallTotals;

/// Time for workers to end after a cut. The process exits without one that a handler blocks.
const CUT_TIMEOUT: Duration = Duration::from_millis(500);

/// A failure while serving.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A worker's thread panicked or could not start its runtime; the log has the details.
    #[error("a worker ended unexpectedly")]
    Worker,
    /// A thread could not be started.
    #[error("could not start a thread")]
    Start(#[source] io::Error),
}

pub(crate) struct Lifecycle {
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) acceptors: JoinSet<()>,
    pub(crate) workers: Workers,
    pub(crate) ended: FuturesUnordered<Ended>,
    pub(crate) times: DrainTimes,
    pub(crate) service_manager: ServiceManager,
}

impl Lifecycle {
    /// Runs from Serving to Stopped. `drain` begins the drain; `cut` or the drain timeout ends it.
    /// Returns the calls after the last answer, or before the cut.
    pub(crate) async fn run(
        mut self,
        drain: impl Future<Output = ()>,
        cut: impl Future<Output = ()>,
    ) -> Result<CallTotals, RunError> {
        let mut cut = std::pin::pin!(cut);
        self.enter(Phase::Serving);
        tokio::select! {
            () = drain => {}
            _ = self.ended.next() => return Err(RunError::Worker),
        }

        self.enter(Phase::LameDuck);
        tokio::select! {
            () = tokio::time::sleep(self.times.delay) => {}
            () = &mut cut => return Ok(self.cut().await),
        }

        self.enter(Phase::Draining);
        let finished = async {
            // The acceptors end first, so that no worker gets a connection after its drain.
            while self.acceptors.join_next().await.is_some() {}
            self.workers.iter().for_each(Worker::drain);
            while self.ended.next().await.is_some() {}
        };
        tokio::select! {
            () = finished => {}
            () = tokio::time::sleep(self.times.timeout) => return Ok(self.cut().await),
            () = cut => return Ok(self.cut().await),
        }
        self.enter(Phase::Stopped);
        self.workers.iter().for_each(Worker::cut); // ends their runtimes; no connection is left
        Ok(self.workers.calls())
    }

    fn enter(&self, phase: Phase) {
        tracing::info!(phase = phase.name(), "phase changed");
        self.phase.send_replace(phase);
        match phase {
            Phase::Serving => self.service_manager.notify(State::Ready),
            Phase::LameDuck => self.service_manager.notify(State::Stopping),
            Phase::Starting | Phase::Draining | Phase::Stopped => {}
        }
    }

    /// Ends every worker and its remaining connections.
    async fn cut(mut self) -> CallTotals {
        self.acceptors.abort_all();
        let calls = self.workers.calls();
        self.workers.iter().for_each(Worker::cut);
        let all_ended = async { while self.ended.next().await.is_some() {} };
        if tokio::time::timeout(CUT_TIMEOUT, all_ended).await.is_err() {
            tracing::warn!("worker abandoned: blocked in a handler");
        }
        self.enter(Phase::Stopped);
        calls
    }
}
