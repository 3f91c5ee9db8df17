//! The course of a load test: all workers connect, begin together, are watched, and end.

use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::plan::{Plan, Until};
use super::summary::Summary;
use super::worker;
use super::worker::{WorkerCommand, WorkerEvent, WorkerResult};
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
    prose: &mut Stderr,
) -> anyhow::Result<Result<Summary, CallError>> {
    let (order, orders) = watch::channel(WorkerCommand::Wait);
    let (tell, mut told) = mpsc::unbounded_channel();
    for share in plan.shares() {
        worker::start(plan.clone(), share, orders.clone(), tell.clone())?;
    }
    drop(tell);
    for _ in 0..plan.shape.threads {
        match told.recv().await {
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
    order.send_replace(WorkerCommand::Run { begin, measure, end });
    prose.begin_load();
    let figures = Summary::new();
    let mut course =
        Course { plan, begin, measure, end, figures, running: plan.shape.threads, ended: None };
    course.figures.started = SystemTime::now() + START_DELAY + plan.shape.warm_up;
    course.watch(&order, &mut told, prose).await;
    prose.end_progress();
    anyhow::ensure!(course.running == 0, "a thread of the load test broke");
    Ok(Ok(course.figures))
}

/// How far it is.
struct Course<'a> {
    plan: &'a Plan,
    begin: Instant,
    measure: Instant,
    end: Option<Instant>,
    figures: Summary,
    /// Workers that have not ended.
    running: u32,
    /// When the last call ended.
    ended: Option<Instant>,
}

impl Course<'_> {
    async fn watch(
        &mut self,
        order: &watch::Sender<WorkerCommand>,
        told: &mut mpsc::UnboundedReceiver<WorkerEvent>,
        prose: &Stderr,
    ) {
        let mut interrupted = std::pin::pin!(interrupt::once());
        loop {
            let told = tokio::select! {
                told = told.recv() => told,
                by = &mut interrupted, if self.figures.interrupted.is_none() => {
                    self.figures.interrupted = Some(by);
                    self.end = Some(Instant::now().max(self.measure));
                    order.send_replace(WorkerCommand::Stop);
                    continue;
                }
            };
            match told {
                Some(WorkerEvent::Seen(seen)) => {
                    self.figures.add(self.measure.elapsed(), *seen);
                    prose.load_progress(self.share_done(), || self.so_far());
                }
                Some(WorkerEvent::Ended(ended)) => self.one_ended(ended),
                Some(WorkerEvent::Connected(_) | WorkerEvent::Broken(_)) => {}
                None => break,
            }
        }
        // A count is measured until its last call has ended.
        let until = self.end.or(self.ended).unwrap_or(self.measure);
        self.figures.measured = until.saturating_duration_since(self.measure);
        self.figures.started = self.figures.started.min(SystemTime::now());
    }

    fn one_ended(&mut self, ended: WorkerResult) {
        self.running -= 1;
        self.ended = self.ended.max(Some(ended.at));
        self.figures.not_begun += ended.not_begun;
        let busiest = self.figures.cpu_share.into_iter().chain(ended.cpu_share).reduce(f64::max);
        self.figures.cpu_share = busiest;
    }

    fn share_done(&self) -> f64 {
        match self.plan.shape.until {
            Until::Elapsed(duration) => {
                self.begin.elapsed().as_secs_f64()
                    / (self.plan.shape.warm_up + duration).as_secs_f64()
            }
            Until::Calls(calls) => {
                (self.figures.counts.ok() + self.figures.counts.failed()) as f64 / calls as f64
            }
        }
    }

    /// `20000/s, p50 190us, p99 820us, 0 failed`
    fn so_far(&self) -> String {
        let counts = &self.figures.counts;
        let measured = self.measure.elapsed().as_secs_f64().max(1e-3);
        let percentile = |p| HumanDuration(Duration::from_micros(counts.latency.percentile(p)));
        let rate = counts.ok() as f64 / measured;
        let (p50, p99, failed) = (percentile(50.0), percentile(99.0), counts.failed());
        format!("{rate:.0}/s, p50 {p50}, p99 {p99}, {failed} failed")
    }
}
