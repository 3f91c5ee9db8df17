//! A worker: a thread, its runtime, its connections, and as many callers as its share of calls under
//! way.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout_at};

use super::plan::{Plan, Share, Until};
use super::recorder::{Counts, REPORT_INTERVAL};
use super::schedule::{Clock, Schedule};
use crate::client::Client;
use crate::error::CallError;

/// A caller that cannot connect tries again after this: it must not flood a server that comes back.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(50);

/// What a worker says.
#[derive(Debug)]
pub(super) enum WorkerEvent {
    /// It cannot begin.
    Broken(io::Error),
    /// Its connections stand, or why they do not.
    Connected(Result<(), CallError>),
    /// What it has seen since it last said.
    Seen(Box<Counts>),
    /// All its calls have ended.
    Ended(WorkerResult),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct WorkerResult {
    /// When its last call ended.
    pub(super) at: Instant,
    /// Calls that were due in time, and for which there was no room until the end.
    pub(super) not_started: u64,
    /// Share of a core that it used while it was measured.
    pub(super) cpu_share: Option<f64>,
}

/// What a worker is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkerCommand {
    /// Wait for the others.
    Wait,
    /// Begin then; measure from a later moment on, and begin no call after the last.
    Run { begin: Instant, measure: Instant, end: Option<Instant> },
    /// Begin no more calls.
    Stop,
}

/// Starts one in a thread of its own. It ends when its calls have, or when nobody listens.
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
            Err(error) => send(&events, WorkerEvent::Broken(error)),
        }
    };
    let name = format!("load-{}", share.worker);
    thread::Builder::new().name(name).spawn(run).context("could not start a thread")?;
    Ok(())
}

/// Whoever does not listen any more has ended the test.
fn send(events: &mpsc::UnboundedSender<WorkerEvent>, what: WorkerEvent) {
    let _ = events.send(what);
}

async fn run(
    plan: &Plan,
    share: Share,
    mut commands: watch::Receiver<WorkerCommand>,
    events: &mpsc::UnboundedSender<WorkerEvent>,
) {
    let client = plan.client(share);
    send(events, WorkerEvent::Connected(client.connect_all().await));
    let Ok(command) =
        commands.wait_for(|command| *command != WorkerCommand::Wait).await.map(|command| *command)
    else {
        return;
    };
    let WorkerCommand::Run { begin, measure, end } = command else {
        return;
    };
    let schedule = share.rate.map(|(rate, behind)| Schedule::new(begin + behind, rate));
    let due_in_time = schedule.zip(end).map(|(schedule, end)| schedule.due_before(end));
    let calls = match share.until {
        Until::Calls(calls) => calls,
        Until::Elapsed(_) => due_in_time.unwrap_or(u64::MAX),
    };
    let callers = Rc::new(Callers {
        client,
        // Copies: clones would share counters that all threads write.
        messages: plan.messages.iter().map(|hello| Bytes::copy_from_slice(hello)).collect(),
        measure,
        end,
        schedule,
        due: Semaphore::new(0),
        released: Cell::new(0),
        calls,
        started: Cell::new(0),
        is_over: Cell::new(false),
        counts: RefCell::new(Counts::new()),
    });
    sleep_until(begin).await;
    let mut tasks = JoinSet::new();
    for _ in 0..share.concurrency {
        tasks.spawn_local(Rc::clone(&callers).run_caller());
    }
    let pacemaker =
        schedule.map(|schedule| spawn_local(Rc::clone(&callers).release_calls(schedule)));
    callers.report_until_ended(&mut tasks, &mut commands, events).await;
    if let Some(pacemaker) = pacemaker {
        pacemaker.abort();
    }
}

/// All callers of a worker.
struct Callers {
    client: Rc<Client>,
    messages: Box<[Bytes]>,
    measure: Instant,
    end: Option<Instant>,
    schedule: Option<Schedule>,
    /// Calls at a rate that are due and not begun.
    due: Semaphore,
    released: Cell<u64>,
    /// So many and no more.
    calls: u64,
    started: Cell<u64>,
    is_over: Cell<bool>,
    counts: RefCell<Counts>,
}

impl Callers {
    /// One after the other.
    async fn run_caller(self: Rc<Self>) {
        while let Some((number, due)) = self.next_call().await {
            let index = usize::try_from(number).unwrap_or(0) % self.messages.len();
            let call = self.client.say_framed_hello(self.messages[index].clone()).await;
            if due >= self.measure {
                self.counts.borrow_mut().record(due.elapsed(), &call);
            }
            if call.rpc.is_none() && self.schedule.is_none() {
                sleep(RECONNECT_INTERVAL).await;
            }
        }
    }

    /// The number of the next call, and when it is or was due; `None` if there is none.
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
        if self.is_over.get() || is_late || number == self.calls {
            return None;
        }
        self.started.set(number + 1);
        if number + 1 == self.calls {
            self.due.close(); // whoever waits for another waits in vain
        }
        Some((number, due))
    }

    /// Lets each call be due at its time, and none after the end.
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
            clock.sleep_until(end).await; // until then there may be room for what is due
            tokio::task::yield_now().await; // and whoever has just got room begins
            self.due.close();
        }
    }

    /// Tells what is seen, until all callers have ended.
    async fn report_until_ended(
        &self,
        tasks: &mut JoinSet<()>,
        commands: &mut watch::Receiver<WorkerCommand>,
        events: &mpsc::UnboundedSender<WorkerEvent>,
    ) {
        let traffic = self.client.traffic();
        let stopped =
            timeout_at(self.measure, commands.wait_for(|command| *command == WorkerCommand::Stop));
        drop(stopped.await);
        let (cpu, mut bytes) = (thread_cpu_time(), traffic.bytes());
        let mut ticks = interval_at(self.measure + REPORT_INTERVAL, REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut report = || {
            let mut counts = self.counts.replace(Counts::new());
            let now = traffic.bytes();
            (counts.sent_bytes, counts.received_bytes) = (now.0 - bytes.0, now.1 - bytes.1);
            bytes = now;
            send(events, WorkerEvent::Seen(Box::new(counts)));
        };
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(_) => {}
                    None => break,
                },
                _ = ticks.tick() => report(),
                stopped = commands.wait_for(|command| *command == WorkerCommand::Stop), if !self.is_over.get() => {
                    drop(stopped);
                    self.is_over.set(true);
                    self.due.close();
                }
            }
        }
        report();
        let at = Instant::now();
        let used = cpu.and_then(|cpu| Some((thread_cpu_time()? - cpu).as_secs_f64()));
        let measured = at.saturating_duration_since(self.measure).as_secs_f64();
        // Without a measurement, because it was interrupted before, there is no share of it.
        let cpu_share = used.filter(|_| measured > 0.0).map(|used| used / measured);
        let not_started = self.released.get().saturating_sub(self.started.get());
        send(events, WorkerEvent::Ended(WorkerResult { at, not_started, cpu_share }));
    }
}

/// The time that this thread has had on a core; `None` where the system does not tell.
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
