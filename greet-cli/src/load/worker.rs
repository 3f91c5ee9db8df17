//! Runs one worker of a load test: a thread with its own runtime and connections, which stay open
//! from one run to the next.

use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout_at};

use super::callers::{Callers, Source};
use super::plan::{Plan, Run, Share};
use super::recorder::{Counts, REPORT_INTERVAL};
use super::summary::WorkerResult;
use crate::client::Client;
use crate::error::CallError;

#[derive(Debug)]
pub(super) enum WorkerEvent {
    /// The runtime could not start.
    Failed(io::Error),
    /// All connections are open, or failed.
    Connected(Result<(), CallError>),
    /// The counts since the last event of this kind.
    Counted(Box<Counts>),
    /// All calls of a run have ended.
    Ended(Box<WorkerResult>),
    /// The thread has panicked.
    Panicked,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum WorkerCommand {
    /// Wait for the other workers.
    Wait,
    /// Make the calls of a run, unless it is over already.
    Run(Run),
    /// End without waiting for the calls in flight.
    Stop,
}

/// Starts a worker, which ends when `commands` is closed, or to the command to stop.
pub(super) fn start(
    plan: Plan,
    share: Share,
    commands: watch::Receiver<WorkerCommand>,
    events: mpsc::UnboundedSender<WorkerEvent>,
) -> anyhow::Result<()> {
    let events = Events(events);
    let work = move || {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(work(&plan, share, commands, &events)),
            Err(error) => events.send(WorkerEvent::Failed(error)),
        }
    };
    let name = format!("load-{}", share.worker);
    thread::Builder::new().name(name).spawn(work).context("could not start a thread")?;
    Ok(())
}

/// Reports a panic too, because the other workers do not end by themselves.
struct Events(mpsc::UnboundedSender<WorkerEvent>);

impl Events {
    fn send(&self, event: WorkerEvent) {
        let _ = self.0.send(event); // fails if the load test has ended
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if thread::panicking() {
            self.send(WorkerEvent::Panicked);
        }
    }
}

async fn work(
    plan: &Plan,
    share: Share,
    mut commands: watch::Receiver<WorkerCommand>,
    events: &Events,
) {
    let source = Source::new(plan, share);
    events.send(WorkerEvent::Connected(source.client.connect_all().await));
    let mut runs = 0;
    while let Some(run) = next_run(&mut commands, runs).await {
        runs = run.number;
        let callers = Callers::new(plan, share, &run, source.clone());
        sleep_until(run.begin).await;
        let mut tasks = JoinSet::new();
        let concurrency = usize::try_from(share.concurrency).unwrap_or(usize::MAX);
        for caller in 0..concurrency {
            tasks.spawn_local(Rc::clone(&callers).run_caller(caller, concurrency));
        }
        let releaser = spawn_local(Rc::clone(&callers).release_calls());
        let usage = report_until_ended(
            &callers,
            &source.client,
            run.measure,
            &mut tasks,
            &mut commands,
            events,
        );
        let usage = usage.await;
        releaser.abort();
        events.send(WorkerEvent::Ended(Box::new(WorkerResult {
            at: usage.until,
            not_started: callers.not_started(),
            unfinished: callers.unfinished(),
            cpu_share: usage.cpu_share,
            busy_share: usage.busy_share,
            connect_failures: source.client.connect_failures(),
            throughput: callers.throughput(),
            by_target: callers.take_by_target(),
        })));
        if !tasks.is_empty() {
            // Calls that an interrupt left in flight are dropped after the last await, so that the
            // connections end with a GOAWAY (`connect::goaway_on_drop`) and not with a reset of each.
            return;
        }
    }
}

/// Waits for the run after those that are over; `None` if there is none.
async fn next_run(commands: &mut watch::Receiver<WorkerCommand>, runs: u32) -> Option<Run> {
    let is_new = |command: &WorkerCommand| match command {
        WorkerCommand::Wait => false,
        WorkerCommand::Run(run) => run.number > runs,
        WorkerCommand::Stop => true,
    };
    match *commands.wait_for(is_new).await.ok()? {
        WorkerCommand::Run(run) => Some(run),
        WorkerCommand::Wait | WorkerCommand::Stop => None,
    }
}

/// What a worker used during the measurement.
struct Usage {
    until: Instant,
    cpu_share: Option<f64>,
    busy_share: Option<f64>,
}

/// Reports the counts until all callers have ended, or to the command to stop.
async fn report_until_ended(
    callers: &Callers,
    client: &Client,
    measure: Instant,
    tasks: &mut JoinSet<()>,
    commands: &mut watch::Receiver<WorkerCommand>,
    events: &Events,
) -> Usage {
    let traffic = client.traffic();
    let is_stop = |command: &WorkerCommand| matches!(command, WorkerCommand::Stop);
    let _ = timeout_at(measure, commands.wait_for(is_stop)).await;
    let (cpu, busy, mut bytes) = (thread_cpu_time(), busy_time(), traffic.bytes());
    let mut ticks = interval_at(measure + REPORT_INTERVAL, REPORT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut report = || {
        let mut counts = callers.take_counts();
        let now = traffic.bytes();
        (counts.sent_bytes, counts.received_bytes) = (now.0 - bytes.0, now.1 - bytes.1);
        bytes = now;
        events.send(WorkerEvent::Counted(Box::new(counts)));
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
    let until = Instant::now();
    let measured = until.saturating_duration_since(measure).as_secs_f64();
    // The measured time is zero after an interrupt during the warm-up.
    let share = |used: Duration| (measured > 0.0).then(|| used.as_secs_f64() / measured);
    let cpu_share = cpu.and_then(|cpu| share(thread_cpu_time()?.saturating_sub(cpu)));
    let busy_share = share(busy_time().saturating_sub(busy));
    Usage { until, cpu_share, busy_share }
}

/// Returns the time that this thread has not waited for events.
fn busy_time() -> Duration {
    const ONLY_WORKER: usize = 0;
    Handle::current().metrics().worker_total_busy_duration(ONLY_WORKER)
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
