//! Starts the calls of `ping` on time, and prints a line per second, each outage and a summary.
//!
//! A target has one connection, as in a client of it. A call that finds none opens one at once, without
//! a backoff, so that an outage ends when the server is back. A call without a reply in time may be due
//! to the connection, as when a machine fails: later calls get a new one.

use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use futures_util::future::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::outage::Outage;
use super::record::CallEnd;
use super::start_times::{DueCalls, StartTimes};
use super::state::{Ping, PingOptions, PingTarget};
use super::{render, report};
use crate::bulk::interrupt;
use crate::client::{Call, CallOptions, Client};
use crate::error::{CallError, StatusSource};
use crate::output::{Stderr, Stdout, Written};

/// Soon enough to follow a rollout, and few lines in an hour.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// A call that has ended.
struct Ended {
    /// The index of its target.
    target: usize,
    /// The number of the call to this target.
    number: u64,
    started: SystemTime,
    client: Rc<Client>,
    call: Call<Value>,
}

impl<'a> Ping<'a> {
    /// Calls until all calls have ended, a signal arrives, or the reader of standard output is gone.
    pub(crate) async fn run(
        &mut self,
        call_options: &CallOptions,
        stdout: &mut Stdout,
        stderr: &Stderr,
    ) -> anyhow::Result<()> {
        let PingOptions { interval, calls, .. } = *self.options;
        let mut interrupted = pin!(interrupt::first_signal());
        let begin = Instant::now();
        let mut times = StartTimes::new(begin, interval, calls);
        let mut ticks = interval_at(begin + REPORT_INTERVAL, REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut in_flight = FuturesUnordered::new();
        if !stdout.is_json() {
            stdout.text(render::head().as_bytes());
        }
        self.interrupted = loop {
            let may_start = times.has_more();
            if !may_start && in_flight.is_empty() {
                break None;
            }
            tokio::select! {
                biased;
                by = &mut interrupted => break Some(by),
                Some(ended) = in_flight.next() => {
                    self.record(ended, call_options, stdout, stderr);
                }
                _ = ticks.tick() => self.print_second(stdout),
                () = sleep_until(times.due), if may_start => {
                    let DueCalls { start, skip } = times.take(Instant::now());
                    self.not_started += skip;
                    for _ in 0..start {
                        for index in 0..self.targets.len() {
                            in_flight.push(Box::pin(self.start(index)));
                        }
                    }
                }
            }
            // The reader may be slow; a signal ends the wait.
            let written = tokio::select! {
                written = stdout.flush() => written?,
                by = &mut interrupted => break Some(by),
            };
            if written == Written::BrokenPipe {
                return Ok(());
            }
        };
        self.elapsed = begin.elapsed();
        while let Some(Some(ended)) = in_flight.next().now_or_never() {
            self.record(ended, call_options, stdout, stderr);
        }
        // The calls in flight are dropped after the last await, so that their connections end with a
        // GOAWAY (`connect::goaway_on_drop`) and not with a reset of each call.
        self.finish(stdout).await
    }

    /// Starts a call and returns its end.
    fn start(&mut self, target: usize) -> impl Future<Output = Ended> + use<'a> {
        let PingTarget { client, record, .. } = &mut self.targets[target];
        let (number, started, client) = (record.started, SystemTime::now(), Rc::clone(client));
        record.started += 1;
        let PingOptions { method, body, .. } = self.options;
        async move {
            let call = client.call(method.path(), body, None).await;
            let call = call.decoded(|reply| method.decode(reply));
            Ended { target, number, started, client, call }
        }
    }

    fn record(
        &mut self,
        ended: Ended,
        call_options: &CallOptions,
        stdout: &mut Stdout,
        stderr: &Stderr,
    ) {
        let Ended { target, number, started, client, call } = ended;
        stderr.verbose(&call);
        let pinged = &mut self.targets[target];
        match &call.result {
            // With `dns:///` calls avoid a dead address, so that no outage shows it.
            Ok(_) => stderr.dead_servers(&client.newly_dead_servers(), None),
            // Only the first such call on a connection replaces it.
            Err(failure) if is_late(failure) && Rc::ptr_eq(&client, &pinged.client) => {
                let target = std::slice::from_ref(&pinged.target);
                pinged.client = Rc::new(Client::new(call_options.clone(), target, 1));
            }
            Err(_) => {}
        }
        for outage in pinged.record.add(number, CallEnd::new(started, call)) {
            self.print_outage(target, &outage, stdout);
        }
    }

    /// Prints what each target did since the last line.
    fn print_second(&mut self, stdout: &mut Stdout) {
        let (time, columns) = (SystemTime::now(), stdout.columns());
        let has_label = self.targets.len() > 1;
        for PingTarget { target, record, .. } in &mut self.targets {
            let second = std::mem::take(&mut record.second);
            let in_flight = record.in_flight();
            let label = has_label.then_some(&*target);
            let text = render::second(time, label, &second, in_flight, columns);
            stdout.line(Some(text), || report::second(time, target, &second, in_flight));
        }
    }

    fn print_outage(&self, target: usize, outage: &Outage, stdout: &mut Stdout) {
        let target = &self.targets[target].target;
        let label = (self.targets.len() > 1).then_some(target);
        let text = render::outage(label, outage, stdout.columns());
        stdout.line(Some(text), || report::outage(target, outage));
    }

    /// Prints the last line, the outages that have not ended, and the summary.
    async fn finish(&mut self, stdout: &mut Stdout) -> anyhow::Result<()> {
        let is_complete = |it: &PingTarget| it.record.second.is_empty();
        if !self.targets.iter().all(is_complete) {
            self.print_second(stdout);
        }
        for target in 0..self.targets.len() {
            for outage in self.targets[target].record.finish() {
                self.print_outage(target, &outage, stdout);
            }
        }
        let text = render::summary(self, stdout.columns());
        stdout.line(Some(text), || report::summary(self));
        stdout.flush().await.map(drop)
    }
}

/// Returns whether the deadline of the call has passed.
fn is_late(failure: &CallError) -> bool {
    matches!(failure, CallError::Rpc(error) if error.source == StatusSource::Deadline)
}
