//! The subcommands, one file each; `reference` has those that print documentation.

pub(crate) mod call;
pub(crate) mod diagnose;
pub(crate) mod health;
pub(crate) mod health_list;
pub(crate) mod health_watch;
pub(crate) mod load;
pub(crate) mod ping;
pub(crate) mod reference;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Backoff, Call, CallOptions, Client};
use crate::connect::Target;
use crate::error::CallError;
use crate::exit::Exit;
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

/// Returns a client for each target.
fn clients(context: &Context) -> Vec<Client> {
    let client =
        |target| Client::new(context.call_options.clone(), std::slice::from_ref(target), 1);
    context.targets.iter().map(client).collect()
}

/// Calls until a reply has nothing that is not SERVING, at most `wait`. A method that does not exist
/// ends the wait.
async fn call_until_serving<Reply>(
    not_serving: impl Fn(&Reply) -> Option<String>,
    call: impl AsyncFn() -> Call<Reply>,
    wait: Duration,
    stderr: &Stderr,
) -> Call<Reply> {
    let mut budget = WaitBudget::new(wait);
    loop {
        let call = call().await;
        let state = match &call.result {
            Ok(reply) => not_serving(reply),
            Err(failure) => (!failure.is_unimplemented()).then(|| failure.to_string()),
        };
        let Some(state) = state else {
            return call;
        };
        if !budget.pause(|| format!("{}: {state}", call.target), stderr).await {
            return call;
        }
    }
}

/// Reports the failures of one call to each of several targets, and each hint once, at the end.
struct Failures<'a> {
    is_one: bool,
    stderr: &'a Stderr,
    hints: BTreeSet<String>,
}

impl Failures<'_> {
    fn new(targets: usize, stderr: &Stderr) -> Failures<'_> {
        Failures { is_one: targets == 1, stderr, hints: BTreeSet::new() }
    }

    /// Returns what a line about a call ends with: its target, if there are several.
    fn target_suffix<Reply>(&self, call: &Call<Reply>) -> String {
        if self.is_one { String::new() } else { format!(" {}", call.target) }
    }

    fn report(&mut self, target: &Target, failure: &CallError) -> Exit {
        if self.is_one {
            self.stderr.failure(failure);
        } else {
            self.stderr.failure_for(target, failure);
            self.hints.insert(failure.hint());
        }
        failure.exit()
    }

    /// Reports failures that are over, so that no hint helps.
    fn report_past(&self, target: &Target, past: &str, failure: &CallError) {
        if self.is_one {
            self.stderr.failure_for(&past, failure);
        } else {
            self.stderr.failure_for(&format_args!("{target}: {past}"), failure);
        }
    }

    fn finish(self) {
        self.hints.iter().for_each(|hint| self.stderr.hint(hint));
    }
}
