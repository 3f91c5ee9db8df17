//! `--wait`: try again until it works or the time is over, and say once what is waited for.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Backoff, Client};
use crate::output::Prose;

/// The time that `--wait` gives.
#[derive(Debug)]
pub(super) struct Patience {
    until: Instant,
    backoff: Backoff,
    told: bool,
}

impl Patience {
    pub(super) fn new(wait: Duration) -> Patience {
        Patience { until: Instant::now() + wait, backoff: Backoff::new(), told: false }
    }

    /// Pauses and returns whether to try again. `seen` is what there is instead of what is waited for.
    pub(super) async fn lasts(&mut self, seen: impl FnOnce() -> String, prose: &Prose) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if !self.told {
            prose.note(format_args!("waiting for {}", seen()));
            self.told = true;
        }
        sleep(self.backoff.next().min(left)).await;
        true
    }
}

/// Until a connection stands, or the time is over. The call then says what is wrong.
pub(super) async fn until_reachable(client: &Client, wait: Duration, prose: &Prose) {
    if wait.is_zero() {
        return;
    }
    let mut patience = Patience::new(wait);
    while let Err(failure) = client.reach(patience.until).await {
        let seen = || format!("{}: {failure}", client.targets());
        if !patience.lasts(seen, prose).await {
            return;
        }
    }
}
