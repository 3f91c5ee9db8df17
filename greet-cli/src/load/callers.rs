//! Makes the calls of one worker in one run: a task for each concurrent call, and at a rate a task
//! that releases each call when it is due.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::by_target::ByTarget;
use super::plan::{Plan, Run, Share};
use super::recorder::{Counts, Throughput};
use super::schedule::{Clock, Schedule};
use crate::client::Client;
use crate::method::Method;

/// Pause after a failure to connect, so that a recovering server is not flooded.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(50);

/// A worker's client and its calls.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) client: Rc<Client>,
    path: PathAndQuery,
    method: Arc<dyn Method>,
    requests: Rc<[Bytes]>,
}

/// The state that the callers of a worker share.
pub(super) struct Callers {
    source: Source,
    measure: Instant,
    end: Option<Instant>,
    /// Maximum calls to measure.
    calls: u64,
    /// The times of calls at a rate that are not started.
    schedule: Option<RefCell<Schedule>>,
    /// Permits for calls at a rate that are due and not started.
    due: Semaphore,
    released: Cell<u64>,
    started: Cell<u64>,
    /// Whether all calls at a rate were released.
    are_all_released: Cell<bool>,
    /// Measured calls in flight.
    unfinished: Cell<u64>,
    /// Calls of `released`, or without a rate of `started`, that are measured.
    measured: Cell<u64>,
    counts: RefCell<Counts>,
    throughput: RefCell<Throughput>,
    /// Only if calls rotate over servers.
    by_target: Option<RefCell<ByTarget>>,
}

impl Source {
    pub(super) fn new(plan: &Plan, share: Share) -> Source {
        let connections = usize::try_from(share.connections).unwrap_or(usize::MAX);
        Source {
            client: Rc::new(Client::new(plan.call_options.clone(), &plan.targets, connections)),
            // Copies, because clones would share reference counts across threads.
            path: plan.method.path().as_str().parse().expect("it was a path"),
            method: Arc::clone(&plan.method),
            requests: plan.requests.iter().map(|request| Bytes::copy_from_slice(request)).collect(),
        }
    }
}

impl Callers {
    pub(super) fn new(plan: &Plan, share: Share, run: &Run, source: Source) -> Rc<Callers> {
        let schedule = share.schedule(run, plan.shape.arrivals).map(RefCell::new);
        let end = run.end();
        let half = end.filter(|_| schedule.is_some()).map(|end| {
            let half = end - (end - run.measure) / 2;
            half..end
        });
        let half = half.unwrap_or(run.measure..run.measure);
        Rc::new(Callers {
            source,
            measure: run.measure,
            end,
            calls: share.calls(run),
            schedule,
            due: Semaphore::new(0),
            released: Cell::new(0),
            started: Cell::new(0),
            are_all_released: Cell::new(false),
            unfinished: Cell::new(0),
            measured: Cell::new(0),
            counts: RefCell::default(),
            throughput: RefCell::new(Throughput::new(half)),
            by_target: plan.has_several_servers().then(RefCell::default),
        })
    }

    /// Makes calls one after the other. The connections are used in turn, as if all callers were
    /// equally fast: a caller stays on its connection if each has as many, so that replies that arrive
    /// together cause requests that leave together.
    pub(super) async fn run_caller(self: Rc<Self>, caller: usize, concurrency: usize) {
        let Source { client, path, method, requests } = &self.source;
        let mut connection = caller;
        while let Some((number, due)) = self.next_call().await {
            let index = usize::try_from(number).unwrap_or(0) % requests.len();
            let is_measured = due >= self.measure;
            self.unfinished.set(self.unfinished.get() + u64::from(is_measured));
            let call = client.call(path, &requests[index], Some(connection)).await;
            let call = call.decoded(|reply| method.decode(reply));
            connection = connection.wrapping_add(concurrency);
            let ended = Instant::now();
            if is_measured {
                self.unfinished.set(self.unfinished.get() - 1);
                let latency = ended - due;
                let mut counts = self.counts.borrow_mut();
                counts.record(latency, &call);
                if self.schedule.is_some() {
                    counts.lateness.record(latency.saturating_sub(call.total));
                }
                if let Some(by_target) = &self.by_target {
                    by_target.borrow_mut().record(latency, &call);
                }
            }
            if call.result.is_ok() {
                self.throughput.borrow_mut().ended_ok(ended);
            }
            let is_sent = call.rpc.is_some();
            drop(call); // it is large, and would be a part of this future
            if !is_sent && self.schedule.is_none() {
                sleep(RECONNECT_INTERVAL).await;
            }
        }
    }

    /// Returns the number of the next call and the time at which it is or was due.
    async fn next_call(&self) -> Option<(u64, Instant)> {
        let due = if let Some(schedule) = &self.schedule {
            self.due.acquire().await.ok()?.forget();
            schedule.borrow_mut().pop()
        } else {
            let now = Instant::now();
            if self.is_over(now) {
                return None;
            }
            self.count(now);
            now
        };
        let number = self.started.get();
        self.started.set(number + 1);
        self.close_if_over();
        Some((number, due))
    }

    /// Releases each call when it is due, until the end.
    pub(super) async fn release_calls(self: Rc<Self>) {
        let Some(schedule) = &self.schedule else {
            return;
        };
        let mut schedule = schedule.borrow().clone();
        let mut clock = Clock::new();
        while !self.is_over(schedule.next_due()) {
            clock.sleep_until(schedule.next_due()).await;
            let (now, mut calls) = (Instant::now(), 0);
            while schedule.next_due() <= now && !self.is_over(schedule.next_due()) {
                let due = schedule.pop();
                self.count(due);
                if due >= self.measure {
                    self.counts.borrow_mut().lag.record(now - due);
                }
                self.throughput.borrow_mut().due(due);
                calls += 1;
            }
            self.released.set(self.released.get() + calls);
            self.due.add_permits(usize::try_from(calls).unwrap_or(0));
        }
        if let Some(end) = self.end {
            clock.sleep_until(end).await; // a call that is due may still start
            tokio::task::yield_now().await; // for a call that ended just now
            self.due.close();
        }
        self.are_all_released.set(true);
        self.close_if_over();
    }

    /// Ends the wait for calls at a rate when the last of a number of calls has started.
    fn close_if_over(&self) {
        if self.are_all_released.get() && self.started.get() == self.released.get() {
            self.due.close();
        }
    }

    /// Returns whether a call that is due then exceeds the time or the number of calls.
    fn is_over(&self, due: Instant) -> bool {
        let has_all_calls = due >= self.measure && self.measured.get() == self.calls;
        has_all_calls || self.end.is_some_and(|end| due >= end)
    }

    /// Counts a call, unless it is part of the warm-up.
    fn count(&self, due: Instant) {
        if due >= self.measure {
            self.measured.set(self.measured.get() + 1);
        }
    }

    /// Takes the counts since the last time.
    pub(super) fn take_counts(&self) -> Counts {
        self.counts.take()
    }

    /// Returns the number of measured calls that were due and not started.
    pub(super) fn not_started(&self) -> u64 {
        self.released.get().saturating_sub(self.started.get()).min(self.measured.get())
    }

    /// Returns the number of measured calls in flight.
    pub(super) fn unfinished(&self) -> u64 {
        self.unfinished.get()
    }

    pub(super) fn throughput(&self) -> Throughput {
        self.throughput.borrow().clone()
    }

    pub(super) fn take_by_target(&self) -> ByTarget {
        self.by_target.as_ref().map(RefCell::take).unwrap_or_default()
    }
}
