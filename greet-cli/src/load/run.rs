//! The course of a load test: all workers connect, begin together, are watched, and end.

use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::plan::{Plan, Until};
use super::summary::Figures;
use super::worker;
use super::worker::{Ended, Order, Told};
use crate::bulk::interrupt;
use crate::error::Failure;
use crate::format::Brief;
use crate::output::Prose;

/// Until all threads are told when to begin.
const HEAD_START: Duration = Duration::from_millis(5);

/// Runs it. `Ok(Err(_))`: the server cannot be reached, and nothing was measured.
///
/// # Errors
/// The system has no threads for it.
pub(crate) async fn run(
    plan: &Plan,
    prose: &mut Prose,
) -> anyhow::Result<Result<Figures, Failure>> {
    let (order, orders) = watch::channel(Order::Wait);
    let (tell, mut told) = mpsc::unbounded_channel();
    for share in plan.shares() {
        worker::start(plan.clone(), share, orders.clone(), tell.clone())?;
    }
    drop(tell);
    for _ in 0..plan.shape.threads {
        match told.recv().await {
            Some(Told::Connected(Ok(()))) => {}
            Some(Told::Connected(Err(failure))) => return Ok(Err(failure)),
            Some(Told::Broken(error)) => return Err(error.into()),
            other => anyhow::bail!("a worker ended before it began: {other:?}"),
        }
    }
    let begin = Instant::now() + HEAD_START;
    let measure = begin + plan.shape.warm_up;
    let end = match plan.shape.until {
        Until::Elapsed(duration) => Some(measure + duration),
        Until::Calls(_) => None,
    };
    order.send_replace(Order::Run { begin, measure, end });
    prose.begin_load();
    let figures = Figures::new();
    let mut course =
        Course { plan, begin, measure, end, figures, running: plan.shape.threads, ended: None };
    course.figures.started = SystemTime::now() + HEAD_START + plan.shape.warm_up;
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
    figures: Figures,
    /// Workers that have not ended.
    running: u32,
    /// When the last call ended.
    ended: Option<Instant>,
}

impl Course<'_> {
    async fn watch(
        &mut self,
        order: &watch::Sender<Order>,
        told: &mut mpsc::UnboundedReceiver<Told>,
        prose: &Prose,
    ) {
        let mut interrupted = std::pin::pin!(interrupt::once());
        loop {
            let told = tokio::select! {
                told = told.recv() => told,
                by = &mut interrupted, if self.figures.interrupted.is_none() => {
                    self.figures.interrupted = Some(by);
                    self.end = Some(Instant::now().max(self.measure));
                    order.send_replace(Order::Stop);
                    continue;
                }
            };
            match told {
                Some(Told::Seen(seen)) => {
                    self.figures.add(self.measure.elapsed(), *seen);
                    prose.load_progress(self.share_done(), || self.so_far());
                }
                Some(Told::Ended(ended)) => self.one_ended(ended),
                Some(Told::Connected(_) | Told::Broken(_)) => {}
                None => break,
            }
        }
        // A count is measured until its last call has ended.
        let until = self.end.or(self.ended).unwrap_or(self.measure);
        self.figures.measured = until.saturating_duration_since(self.measure);
        self.figures.started = self.figures.started.min(SystemTime::now());
    }

    fn one_ended(&mut self, ended: Ended) {
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
        let percentile = |p| Brief(Duration::from_micros(counts.latency.percentile(p)));
        let rate = counts.ok() as f64 / measured;
        let (p50, p99, failed) = (percentile(50.0), percentile(99.0), counts.failed());
        format!("{rate:.0}/s, p50 {p50}, p99 {p99}, {failed} failed")
    }
}
