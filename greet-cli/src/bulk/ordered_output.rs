//! Prints the outcome of each input in the order of the inputs.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use super::source::Inputs;
use super::tally::Tally;
use crate::client::{Call, ConnectFailure};
use crate::error::ConnectError;
use crate::exit::Exit;
use crate::method::Method;
use crate::output::report::{CallReport, MethodCall};
use crate::output::{Stderr, Stdout, Written};

/// Maximum hints at the end, because parts of their text come from servers.
const MAX_HINTS: usize = 10;

#[derive(Debug)]
pub(super) enum Outcome {
    Called {
        input: String,
        call: Box<Call<Value>>,
    },
    /// The reason that an input is not a request.
    InvalidInput(String),
}

/// The outcomes that wait to be printed, and the results of those that were.
pub(super) struct OrderedOutput<'a> {
    pub(super) stdout: &'a mut Stdout,
    stderr: &'a mut Stderr,
    method: &'a dyn Method,
    /// The noun for an input in messages.
    label: &'static str,
    is_one: bool,
    with_tally: bool,
    /// The outcomes from the first that is not printed; `None` for those in flight.
    outcomes: VecDeque<Option<Outcome>>,
    /// Number of outcomes that were printed.
    pub(super) printed: u64,
    /// Whether any outcome, printed or not, is a failure.
    pub(super) has_failed: bool,
    /// The exit code of the outcomes that were printed.
    pub(super) exit: Exit,
    pub(super) tally: Tally,
    /// The failure of a single call.
    reported: Option<ConnectError>,
    /// The hints of the failures, each printed once, at the end.
    hints: BTreeSet<String>,
}

impl<'a> OrderedOutput<'a> {
    pub(super) fn new(
        stdout: &'a mut Stdout,
        stderr: &'a mut Stderr,
        method: &'a dyn Method,
        inputs: &Inputs,
        with_tally: bool,
    ) -> OrderedOutput<'a> {
        let calls = inputs.calls();
        let is_one = calls == Some(1);
        if !is_one {
            stderr.begin_progress(calls);
        }
        OrderedOutput {
            stdout,
            stderr,
            method,
            label: if calls.is_some() { "call" } else { "line" },
            is_one,
            with_tally,
            outcomes: VecDeque::new(),
            printed: 0,
            has_failed: false,
            exit: Exit::Done,
            tally: Tally::new(),
            reported: None,
            hints: BTreeSet::new(),
        }
    }

    /// Adds the outcome of the input at `index`.
    pub(super) fn push(&mut self, index: u64, outcome: Outcome) {
        self.has_failed |= match &outcome {
            Outcome::Called { call, .. } => call.result.is_err(),
            Outcome::InvalidInput(_) => true,
        };
        let place = usize::try_from(index - self.printed).expect("the window fits into memory");
        if place >= self.outcomes.len() {
            self.outcomes.resize_with(place + 1, || None);
        }
        self.outcomes[place] = Some(outcome);
    }

    /// Prints the outcomes up to the first that is not known yet.
    pub(super) async fn print_in_order(&mut self) -> anyhow::Result<Written> {
        while let Some(outcome) = self.outcomes.front_mut().and_then(Option::take) {
            self.outcomes.pop_front();
            if self.print(outcome).await? == Written::BrokenPipe {
                return Ok(Written::BrokenPipe);
            }
        }
        Ok(Written::Whole)
    }

    /// Reports servers that calls cannot use.
    pub(super) fn report_dead_servers(&self, dead: &[ConnectFailure]) {
        self.stderr.dead_servers(dead, self.reported.as_ref());
    }

    /// Prints the outcomes that are known, the hints and the tally.
    pub(super) async fn finish(mut self, interrupted_by: Option<Exit>) -> anyhow::Result<Exit> {
        for outcome in std::mem::take(&mut self.outcomes) {
            match outcome {
                Some(outcome) => drop(self.print(outcome).await?),
                None => self.printed += 1,
            }
        }
        if self.with_tally && self.stdout.is_json() {
            self.stdout.line(None::<&str>, || self.tally.report());
        }
        let written =
            if self.is_one { self.stdout.flush_blocking() } else { self.stdout.flush().await };
        self.stderr.end_progress();
        let written = written?;
        for hint in &self.hints {
            self.stderr.hint(hint);
        }
        if !self.is_one && written == Written::Whole {
            self.stderr.summary(&self.tally);
            if self.with_tally && self.stderr.is_verbose() {
                for (server, count) in self.tally.servers() {
                    self.stderr.summary(&format_args!("{count:>8}  {server}"));
                }
            }
        }
        Ok(interrupted_by.unwrap_or(self.exit))
    }

    async fn print(&mut self, outcome: Outcome) -> anyhow::Result<Written> {
        self.printed += 1;
        let (label, number) = (self.label, self.printed);
        self.stderr.progress(self.printed);
        let (input, call) = match outcome {
            Outcome::Called { input, call } => (input, call),
            Outcome::InvalidInput(problem) => {
                self.exit = self.exit.or(Exit::Usage);
                self.tally.failed += 1;
                let written = self.keep_order().await?;
                self.stderr.note(format_args!("{label} {number}: {problem}"));
                return Ok(written);
            }
        };
        self.tally.count(&call);
        if !self.with_tally {
            self.stderr.verbose(&call); // the tally is shorter
        }
        let (method, reply) = (self.method, call.result.as_ref().ok());
        self.stdout.line(reply.map(|reply| method.line(reply)), || MethodCall {
            schema: method.schema(),
            ok: reply.is_some(),
            facts: method.facts(&input, reply),
            call: CallReport::new(&call),
        });
        let Err(failure) = &call.result else {
            return Ok(Written::Whole);
        };
        self.exit = self.exit.or(failure.exit());
        let written = self.keep_order().await?;
        if self.is_one {
            self.stderr.failure(failure);
            self.reported = failure.connect_error().cloned();
        } else {
            self.stderr.failure_for(&format_args!("{label} {number}"), failure);
            if self.hints.len() < MAX_HINTS {
                self.hints.insert(failure.hint());
            }
        }
        Ok(written)
    }

    /// Flushes on a terminal, so that a failure appears between its neighbors.
    async fn keep_order(&mut self) -> anyhow::Result<Written> {
        if self.is_one {
            self.stdout.flush_blocking()
        } else if self.stdout.is_terminal() {
            self.stdout.flush().await
        } else {
            Ok(Written::Whole)
        }
    }
}
