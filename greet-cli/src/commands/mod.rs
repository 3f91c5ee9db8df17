//! The subcommands, one file each; `reference` has those that print documentation.

pub(crate) mod diagnose;
pub(crate) mod health;
pub(crate) mod hello;
pub(crate) mod load;
pub(crate) mod reference;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Backoff, CallOptions, Client};
use crate::connect::Target;
use crate::output::Stderr;

/// Input of every command that calls a server.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) targets: Vec<Target>,
    /// Maximum wait until a server is reachable (`--wait`); zero does not wait.
    pub(crate) wait: Duration,
    pub(crate) call_options: CallOptions,
}

/// The rest of `--wait`, with a backoff between attempts.
#[derive(Debug)]
pub(super) struct WaitBudget {
    until: Instant,
    backoff: Backoff,
    announced: bool,
}

impl WaitBudget {
    pub(super) fn new(wait: Duration) -> WaitBudget {
        WaitBudget { until: Instant::now() + wait, backoff: Backoff::new(), announced: false }
    }

    /// Pauses and returns true, or returns false at the end of the wait. The first pause is
    /// announced with the current state.
    pub(super) async fn pause(&mut self, state: impl FnOnce() -> String, stderr: &Stderr) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if !self.announced {
            stderr.note(format_args!("waiting for {}", state()));
            self.announced = true;
        }
        sleep(self.backoff.next().min(left)).await;
        true
    }
}

/// Waits until a target accepts a connection, at most `wait`. The call after it reports the
/// failure.
pub(super) async fn wait_until_reachable(client: &Client, wait: Duration, stderr: &Stderr) {
    if wait.is_zero() {
        return;
    }
    let mut budget = WaitBudget::new(wait);
    while let Err(failure) = client.connect_ahead(budget.until).await {
        let state = || format!("{}: {failure}", client.targets());
        if !budget.pause(state, stderr).await {
            return;
        }
    }
}
