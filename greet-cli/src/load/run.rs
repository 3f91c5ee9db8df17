//! The course of a load test: all workers connect, begin together, are watched, and end.

use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::plan::{Plan, Until};
use super::summary::Summary;
use super::worker::{self, WorkerCommand, WorkerEvent, WorkerResult};
use crate::bulk::interrupt;
use crate::error::CallError;
use crate::format::HumanDuration;
use crate::output::Stderr;

/// Until all threads are told when to begin.
const START_DELAY: Duration = Duration::from_millis(5);

/// Runs it. `Ok(Err(_))`: the server cannot be reached, and nothing was measured.
///
/// # Errors
/// The system has no threads for it.
pub(crate) async fn run(
    plan: &Plan,
    stderr: &mut Stderr,
) -> anyhow::Result<Result<Summary, CallError>> {
    let (command, commands) = watch::channel(WorkerCommand::Wait);
    let (event_sender, mut events) = mpsc::unbounded_channel();
    for share in plan.shares() {
        worker::start(plan.clone(), share, commands.clone(), event_sender.clone())?;
    }
    drop(event_sender);
    for _ in 0..plan.shape.threads {
        match events.recv().await {
            Some(WorkerEvent::Connected(Ok(()))) => {}
            Some(WorkerEvent::Connected(Err(failure))) => return Ok(Err(failure)),
            Some(WorkerEvent::Broken(error)) => return Err(error.into()),
            other => anyhow::bail!("a worker ended before it began: {other:?}"),
        }
    }
    let begin = Instant::now() + START_DELAY;
    let measure = begin + plan.shape.warm_up;
    let end = match plan.shape.until {
        Until::Elapsed(duration) => Some(measure + duration),
        Until::Calls(_) => None,
    };
    command.send_replace(WorkerCommand::Run { begin, measure, end });
    stderr.begin_load_progress();
    let summary = Summary::new();
    let mut run =
        LoadRun { plan, begin, measure, end, summary, running: plan.shape.threads, ended: None };
    run.summary.started = SystemTime::now() + START_DELAY + plan.shape.warm_up;
    run.collect(&command, &mut events, stderr).await;
    stderr.end_progress();
    anyhow::ensure!(run.running == 0, "a thread of the load test broke");
    Ok(Ok(run.summary))
}

/// How far it is.
struct LoadRun<'a> {
    plan: &'a Plan,
    begin: Instant,
    measure: Instant,
    end: Option<Instant>,
    summary: Summary,
    /// Workers that have not ended.
    running: u32,
    /// When the last call ended.
    ended: Option<Instant>,
}

impl LoadRun<'_> {
    async fn collect(
        &mut self,
        command: &watch::Sender<WorkerCommand>,
        events: &mut mpsc::UnboundedReceiver<WorkerEvent>,
        stderr: &Stderr,
    ) {
        let mut interrupted = std::pin::pin!(interrupt::first_signal());
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                by = &mut interrupted, if self.summary.interrupted.is_none() => {
                    self.summary.interrupted = Some(by);
                    self.end = Some(Instant::now().max(self.measure));
                    command.send_replace(WorkerCommand::Stop);
                    continue;
                }
            };
            match event {
                Some(WorkerEvent::Seen(seen)) => {
                    self.summary.add(self.measure.elapsed(), *seen);
                    stderr.load_progress(self.fraction_done(), || self.progress_text());
                }
                Some(WorkerEvent::Ended(ended)) => self.worker_ended(ended),
                Some(WorkerEvent::Connected(_) | WorkerEvent::Broken(_)) => {}
                None => break,
            }
        }
        // A count is measured until its last call has ended.
        let until = self.end.or(self.ended).unwrap_or(self.measure);
        self.summary.measured = until.saturating_duration_since(self.measure);
        self.summary.started = self.summary.started.min(SystemTime::now());
    }

    fn worker_ended(&mut self, ended: WorkerResult) {
        self.running -= 1;
        self.ended = self.ended.max(Some(ended.at));
        self.summary.not_started += ended.not_started;
        let busiest = self.summary.cpu_share.into_iter().chain(ended.cpu_share).reduce(f64::max);
        self.summary.cpu_share = busiest;
    }

    fn fraction_done(&self) -> f64 {
        match self.plan.shape.until {
            Until::Elapsed(duration) => {
                self.begin.elapsed().as_secs_f64()
                    / (self.plan.shape.warm_up + duration).as_secs_f64()
            }
            Until::Calls(calls) => {
                (self.summary.counts.ok() + self.summary.counts.failed()) as f64 / calls as f64
            }
        }
    }

    /// `20000/s, p50 190us, p99 820us, 0 failed`
    fn progress_text(&self) -> String {
        let counts = &self.summary.counts;
        let measured = self.measure.elapsed().as_secs_f64().max(1e-3);
        let percentile = |p| HumanDuration(Duration::from_micros(counts.latency.percentile(p)));
        let rate = counts.ok() as f64 / measured;
        let (p50, p99, failed) = (percentile(50.0), percentile(99.0), counts.failed());
        format!("{rate:.0}/s, p50 {p50}, p99 {p99}, {failed} failed")
    }
}
