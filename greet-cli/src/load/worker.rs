//! Runs one worker of a load test: a thread with its own runtime and connections, and one task for
//! each concurrent call.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout_at};

use super::plan::{Plan, Share, Until};
use super::recorder::{Counts, REPORT_INTERVAL};
use super::schedule::{Clock, Schedule};
use crate::client::{Client, ConnectFailure};
use crate::error::CallError;
use crate::method::Method;

/// Pause after a failure to connect, so that a recovering server is not flooded.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) enum WorkerEvent {
    /// The runtime could not start.
    Failed(io::Error),
    /// All connections are open, or failed.
    Connected(Result<(), CallError>),
    /// The counts since the last event of this kind.
    Counted(Box<Counts>),
    /// All calls have ended.
    Ended(WorkerResult),
}

#[derive(Debug)]
pub(super) struct WorkerResult {
    /// The end of the last call.
    pub(super) at: Instant,
    /// Calls that were due but not started, because the concurrency limit was reached.
    pub(super) not_started: u64,
    /// CPU time of the thread during the measurement, as a share of one core.
    pub(super) cpu_share: Option<f64>,
    pub(super) connect_failures: Vec<ConnectFailure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkerCommand {
    /// Wait for the other workers.
    Wait,
    /// Start calls from `begin` until `end`, and measure from `measure`.
    Run { begin: Instant, measure: Instant, end: Option<Instant> },
    /// End without waiting for the calls in flight.
    Stop,
}

/// Starts a worker, which ends with its calls or when `commands` is closed.
pub(super) fn start(
    plan: Plan,
    share: Share,
    commands: watch::Receiver<WorkerCommand>,
    events: mpsc::UnboundedSender<WorkerEvent>,
) -> anyhow::Result<()> {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(run(&plan, share, commands, &events)),
            Err(error) => send(&events, WorkerEvent::Failed(error)),
        }
    };
    let name = format!("load-{}", share.worker);
    thread::Builder::new().name(name).spawn(run).context("could not start a thread")?;
    Ok(())
}

fn send(events: &mpsc::UnboundedSender<WorkerEvent>, event: WorkerEvent) {
    let _ = events.send(event); // fails if the load test has ended
}

async fn run(
    plan: &Plan,
    share: Share,
    mut commands: watch::Receiver<WorkerCommand>,
    events: &mpsc::UnboundedSender<WorkerEvent>,
) {
    let connections = usize::try_from(share.connections).unwrap_or(usize::MAX);
    let client = Rc::new(Client::new(plan.call_options.clone(), &plan.targets, connections));
    send(events, WorkerEvent::Connected(client.connect_all().await));
    let command = commands.wait_for(|command| *command != WorkerCommand::Wait).await;
    let Ok(WorkerCommand::Run { begin, measure, end }) = command.map(|command| *command) else {
        return;
    };
    let schedule = share.rate.map(|(rate, delay)| Schedule::new(begin + delay, rate));
    let due_in_time = schedule.zip(end).map(|(schedule, end)| schedule.due_before(end));
    let calls = match share.until {
        Until::Calls(calls) => calls,
        Until::Elapsed(_) => due_in_time.unwrap_or(u64::MAX),
    };
    let callers = Rc::new(Callers {
        client,
        // Copies, because clones would share reference counts across threads.
        path: plan.method.path().as_str().parse().expect("it was a path"),
        method: Arc::clone(&plan.method),
        requests: plan.requests.iter().map(|request| Bytes::copy_from_slice(request)).collect(),
        measure,
        end,
        schedule,
        due: Semaphore::new(0),
        released: Cell::new(0),
        calls,
        started: Cell::new(0),
        counts: RefCell::default(),
    });
    sleep_until(begin).await;
    let mut tasks = JoinSet::new();
    let concurrency = usize::try_from(share.concurrency).unwrap_or(usize::MAX);
    for caller in 0..concurrency {
        tasks.spawn_local(Rc::clone(&callers).run_caller(caller, concurrency));
    }
    let releaser =
        schedule.map(|schedule| spawn_local(Rc::clone(&callers).release_calls(schedule)));
    callers.report_until_ended(&mut tasks, &mut commands, events).await;
    if let Some(releaser) = releaser {
        releaser.abort();
    }
    // Calls that an interrupt left in flight are dropped after the last await, so that the connections
    // end with a GOAWAY (`connect::goaway_on_drop`) and not with a reset of each call.
}

/// The state that the callers of a worker share.
struct Callers {
    client: Rc<Client>,
    path: PathAndQuery,
    method: Arc<dyn Method>,
    requests: Box<[Bytes]>,
    measure: Instant,
    end: Option<Instant>,
    schedule: Option<Schedule>,
    /// Permits for calls at a rate that are due and not started.
    due: Semaphore,
    released: Cell<u64>,
    /// Maximum calls.
    calls: u64,
    started: Cell<u64>,
    counts: RefCell<Counts>,
}

impl Callers {
    /// Makes calls one after the other. The connections are used in turn, as if all callers were
    /// equally fast: a caller stays on its connection if each has as many, so that replies that arrive
    /// together cause requests that leave together.
    async fn run_caller(self: Rc<Self>, caller: usize, concurrency: usize) {
        let mut connection = caller;
        while let Some((number, due)) = self.next_call().await {
            let index = usize::try_from(number).unwrap_or(0) % self.requests.len();
            let call = self.client.call(&self.path, &self.requests[index], Some(connection)).await;
            let call = call.decoded(|reply| self.method.decode(reply));
            connection = connection.wrapping_add(concurrency);
            if due >= self.measure {
                self.counts.borrow_mut().record(due.elapsed(), &call);
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
        let due = match self.schedule {
            Some(schedule) => {
                self.due.acquire().await.ok()?.forget();
                schedule.due_at(self.started.get())
            }
            None => Instant::now(),
        };
        let is_late = self.schedule.is_none() && self.end.is_some_and(|end| due >= end);
        let number = self.started.get();
        if is_late || number == self.calls {
            return None;
        }
        self.started.set(number + 1);
        if number + 1 == self.calls {
            self.due.close(); // there is no further call
        }
        Some((number, due))
    }

    /// Releases each call when it is due, until the end.
    async fn release_calls(self: Rc<Self>, schedule: Schedule) {
        let mut clock = Clock::new();
        while self.released.get() < self.calls {
            let due = self.released.get();
            clock.sleep_until(schedule.due_at(due)).await;
            let now = Instant::now();
            let by_now = schedule.due_by(now).min(self.calls);
            for at in (due..by_now).map(|number| schedule.due_at(number)) {
                if at >= self.measure {
                    self.counts.borrow_mut().lag.record(now - at);
                }
            }
            self.released.set(by_now);
            self.due.add_permits(usize::try_from(by_now - due).unwrap_or(0));
        }
        if let Some(end) = self.end {
            clock.sleep_until(end).await; // a call that is due may still start
            tokio::task::yield_now().await; // for a call that ended just now
            self.due.close();
        }
    }

    /// Reports the counts until all callers have ended, or to the command to stop.
    async fn report_until_ended(
        &self,
        tasks: &mut JoinSet<()>,
        commands: &mut watch::Receiver<WorkerCommand>,
        events: &mpsc::UnboundedSender<WorkerEvent>,
    ) {
        let traffic = self.client.traffic();
        let is_stop = |command: &WorkerCommand| *command == WorkerCommand::Stop;
        let _ = timeout_at(self.measure, commands.wait_for(is_stop)).await;
        let (cpu, mut bytes) = (thread_cpu_time(), traffic.bytes());
        let mut ticks = interval_at(self.measure + REPORT_INTERVAL, REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut report = || {
            let mut counts = self.counts.take();
            let now = traffic.bytes();
            (counts.sent_bytes, counts.received_bytes) = (now.0 - bytes.0, now.1 - bytes.1);
            bytes = now;
            send(events, WorkerEvent::Counted(Box::new(counts)));
        };
        loop {
            tokio::select! {
                ended = tasks.join_next() => if ended.is_none() {
                    break;
                },
                _ = ticks.tick() => report(),
                _ = commands.wait_for(is_stop) => break,
            }
        }
        report();
        let at = Instant::now();
        let used = cpu.and_then(|cpu| Some((thread_cpu_time()? - cpu).as_secs_f64()));
        let measured = at.saturating_duration_since(self.measure).as_secs_f64();
        // The measured time is zero after an interrupt during the warm-up.
        let cpu_share = used.filter(|_| measured > 0.0).map(|used| used / measured);
        let not_started = self.released.get().saturating_sub(self.started.get());
        let connect_failures = self.client.connect_failures();
        let result = WorkerResult { at, not_started, cpu_share, connect_failures };
        send(events, WorkerEvent::Ended(result));
    }
}

/// Returns the CPU time of this thread, where the system provides it.
fn thread_cpu_time() -> Option<Duration> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Some(Duration::new(seconds.ok()?, nanos.ok()?))
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    None
}
