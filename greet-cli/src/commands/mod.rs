//! The subcommands, a file each.

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

/// What every command that calls a server has.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) targets: Vec<Target>,
    /// The time to wait until a server is reachable; zero does not wait.
    pub(crate) wait: Duration,
    pub(crate) call_options: CallOptions,
}

/// The time that `--wait` gives.
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

    /// Pauses and returns whether to try again. `seen` is what there is instead of what is waited for.
    pub(super) async fn pause(&mut self, seen: impl FnOnce() -> String, stderr: &Stderr) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if !self.announced {
            stderr.note(format_args!("waiting for {}", seen()));
            self.announced = true;
        }
        sleep(self.backoff.next().min(left)).await;
        true
    }
}

/// Until a connection stands, or the time is over. The call then says what is wrong.
pub(super) async fn wait_until_reachable(client: &Client, wait: Duration, stderr: &Stderr) {
    if wait.is_zero() {
        return;
    }
    let mut budget = WaitBudget::new(wait);
    while let Err(failure) = client.connect_ahead(budget.until).await {
        let seen = || format!("{}: {failure}", client.targets());
        if !budget.pause(seen, stderr).await {
            return;
        }
    }
}
