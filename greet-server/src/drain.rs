//! From one phase to the next: the first signal, the drain, the cut; each wait bounded.

use std::io;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::DrainTimes;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::systemd::{self, News};
use crate::net::worker::{Ended, Worker, Workers};
use crate::telemetry::metrics::worker::CallTotals;

/// How long a worker may take to let go after a cut. One that is stuck in a handler never does;
/// the process leaves without it.
const CUT_TIMEOUT: Duration = Duration::from_millis(500);

/// A worker was not there, or ended although nobody told it to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its thread panicked or could not start its runtime; the log says more.
    #[error("a worker ended unexpectedly")]
    Worker,
    /// Not every worker could be started.
    #[error("could not start a thread")]
    Start(#[source] io::Error),
}

/// What runs, and the phase that it is in.
pub(crate) struct Lifecycle {
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) acceptors: JoinSet<()>,
    pub(crate) workers: Workers,
    pub(crate) ended: FuturesUnordered<Ended>,
    pub(crate) times: DrainTimes,
}

impl Lifecycle {
    /// From Serving to Stopped: `drain` begins the end, `cut` (or the timeout) ends it at once.
    /// Returns the calls as they stood when the last was answered, or when the rest was cut.
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
            // No acceptor hands over a connection after its worker was told to drain.
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
        Ok(self.workers.calls())
    }

    fn enter(&self, phase: Phase) {
        tracing::info!(phase = phase.name(), "lifecycle");
        self.phase.send_replace(phase);
        match phase {
            Phase::Serving => systemd::tell(News::Ready),
            Phase::LameDuck => systemd::tell(News::Stopping),
            Phase::Starting | Phase::Draining | Phase::Stopped => {}
        }
    }

    /// Ends every worker with what is left on it.
    async fn cut(mut self) -> CallTotals {
        self.acceptors.abort_all();
        let calls = self.workers.calls();
        self.workers.iter().for_each(Worker::cut);
        let all_ended = async { while self.ended.next().await.is_some() {} };
        if tokio::time::timeout(CUT_TIMEOUT, all_ended).await.is_err() {
            tracing::warn!("a worker is stuck in a handler; leaving without it");
        }
        self.enter(Phase::Stopped);
        calls
    }
}
