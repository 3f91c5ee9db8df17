//! Runs a load test: starts the workers, collects their counts and handles an interrupt.

use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::plan::{Plan, Shape, Until};
use super::summary::Summary;
use super::worker::{self, WorkerCommand, WorkerEvent, WorkerResult};
use crate::bulk::interrupt;
use crate::error::CallError;
use crate::format::HumanDuration;
use crate::output::Stderr;

/// Time for all workers to receive the command to start.
const START_DELAY: Duration = Duration::from_millis(5);

/// Runs a load test. `Ok(Err(_))`: the server is unreachable and nothing was measured.
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
            Some(WorkerEvent::Failed(error)) => return Err(error.into()),
            other => anyhow::bail!("a worker ended before it started: {other:?}"),
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
    let mut summary = Summary::new();
    summary.started = SystemTime::now() + START_DELAY + plan.shape.warm_up;
    let running = plan.shape.threads;
    let mut run = LoadRun { plan, begin, measure, end, summary, running, last_end: None };
    run.collect(&command, &mut events, stderr).await;
    stderr.end_progress();
    anyhow::ensure!(run.running == 0, "a worker thread of the load test panicked");
    Ok(Ok(run.summary))
}

struct LoadRun<'a> {
    plan: &'a Plan,
    begin: Instant,
    measure: Instant,
    end: Option<Instant>,
    summary: Summary,
    /// Number of workers that have not ended.
    running: u32,
    /// The end of the last call.
    last_end: Option<Instant>,
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
                Some(WorkerEvent::Counted(counts)) => {
                    self.summary.add(self.measure.elapsed(), *counts);
                    stderr.load_progress(self.fraction_done(), || self.progress_text());
                }
                Some(WorkerEvent::Ended(result)) => {
                    self.running -= 1;
                    self.last_end = self.last_end.max(Some(result.at));
                    let WorkerResult { not_started, cpu_share, connect_failures, .. } = result;
                    self.summary.connect_failures.add(connect_failures);
                    self.summary.not_started += not_started;
                    let cpu_share = self.summary.cpu_share.into_iter().chain(cpu_share);
                    self.summary.cpu_share = cpu_share.reduce(f64::max);
                }
                Some(WorkerEvent::Connected(_) | WorkerEvent::Failed(_)) => {}
                None => break,
            }
        }
        // A number of calls is measured until the last of them has ended.
        let until = self.end.or(self.last_end).unwrap_or(self.measure);
        self.summary.measured = until.saturating_duration_since(self.measure);
        self.summary.started = self.summary.started.min(SystemTime::now());
    }

    fn fraction_done(&self) -> f64 {
        let Shape { until, warm_up, .. } = self.plan.shape;
        match until {
            Until::Elapsed(duration) => self.begin.elapsed().div_duration_f64(warm_up + duration),
            Until::Calls(calls) => {
                let counts = &self.summary.counts;
                (counts.ok() + counts.failed()) as f64 / calls as f64
            }
        }
    }

    /// Returns the progress line: `20000/s, p50 190us, p99 820us, 0 failed`.
    fn progress_text(&self) -> String {
        let counts = &self.summary.counts;
        let measured = self.measure.elapsed().as_secs_f64().max(1e-3);
        let percentile = |p| HumanDuration(Duration::from_micros(counts.latency.percentile(p)));
        let rate = counts.ok() as f64 / measured;
        let (p50, p99, failed) = (percentile(50.0), percentile(99.0), counts.failed());
        format!("{rate:.0}/s, p50 {p50}, p99 {p99}, {failed} failed")
    }
}
