//! Runs a load test: starts the workers, chooses the rate of each run, collects the counts and
//! handles an interrupt.

use std::time::{Duration, SystemTime};

use anyhow::bail;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::capacity::{Capacity, Step};
use super::outcome::Outcome;
use super::plan::{Plan, Rate, Run, Shape, Until};
use super::steps_text::{Row, head};
use super::summary::Summary;
use super::worker::{self, WorkerCommand, WorkerEvent};
use crate::bulk::interrupt;
use crate::client::ConnectFailures;
use crate::error::CallError;
use crate::exit::Exit;
use crate::format::{HumanDuration, PerSecond};
use crate::output::{Stderr, Stdout};

/// Time for all workers to receive the command to start.
const START_DELAY: Duration = Duration::from_millis(5);

/// Runs a load test. `Ok(Err(_))`: the server is unreachable and nothing was measured.
pub(crate) async fn run(
    plan: &Plan,
    stdout: &mut Stdout,
    stderr: &mut Stderr,
) -> anyhow::Result<Result<Outcome, CallError>> {
    let mut workers = Workers::start(plan)?;
    if let Err(failure) = workers.connect().await? {
        return Ok(Err(failure));
    }
    stderr.begin_load_progress();
    let fixed_rate = match plan.shape.rate {
        Some(Rate::Fixed(rate)) => Some(rate),
        _ => None,
    };
    let outcome = match Capacity::new(plan) {
        Some(capacity) => run_range(capacity, &mut workers, stdout, stderr).await?,
        None => {
            let summary = workers.run(fixed_rate, stderr).await?;
            Outcome { interrupted: summary.interrupted, summary, capacity: None }
        }
    };
    workers.end().await;
    stderr.end_progress();
    Ok(Ok(outcome))
}

/// Makes a run at each rate.
async fn run_range(
    mut capacity: Capacity,
    workers: &mut Workers<'_>,
    stdout: &mut Stdout,
    stderr: &Stderr,
) -> anyhow::Result<Outcome> {
    let mut result: Option<Summary> = None;
    let (mut interrupted, mut connect_failures) = (None, ConnectFailures::default());
    while interrupted.is_none()
        && let Some(rate) = capacity.next_rate()
    {
        let mut summary = workers.run(Some(rate), stderr).await?;
        // They count from the start of the command, so those of the last run include all others.
        connect_failures = std::mem::take(&mut summary.connect_failures);
        interrupted = summary.interrupted;
        // A run that was interrupted shows nothing about its rate.
        let has_passed = interrupted.is_none() && capacity.record(&summary);
        if has_passed || result.is_none() {
            result = Some(summary);
        }
        if interrupted.is_none() {
            print_row(&capacity.steps, stdout, stderr);
        }
    }
    let mut summary = result.expect("a range has at least one rate");
    summary.connect_failures = connect_failures;
    Ok(Outcome { summary, capacity: Some(capacity), interrupted })
}

/// Prints the row of the last run, after the names of the columns if it is the first.
fn print_row(steps: &[Step], stdout: &mut Stdout, stderr: &Stderr) {
    let Some(step) = steps.last().filter(|_| !stdout.is_json()) else {
        return;
    };
    if steps.len() == 1 {
        stdout.line(Some(head()), || ());
    }
    stdout.line(Some(Row(step)), || ());
    // A failure repeats itself at the end, when the report is printed.
    stderr.without_progress(|| drop(stdout.flush_blocking()));
}

/// The workers, between two runs.
struct Workers<'a> {
    plan: &'a Plan,
    command: watch::Sender<WorkerCommand>,
    events: mpsc::UnboundedReceiver<WorkerEvent>,
    /// Number of runs so far.
    runs: u32,
    interrupted: std::pin::Pin<Box<dyn Future<Output = Exit>>>,
}

impl Workers<'_> {
    fn start(plan: &Plan) -> anyhow::Result<Workers<'_>> {
        let (command, commands) = watch::channel(WorkerCommand::Wait);
        let (event_sender, events) = mpsc::unbounded_channel();
        for share in plan.shares() {
            worker::start(plan.clone(), share, commands.clone(), event_sender.clone())?;
        }
        let interrupted = Box::pin(interrupt::first_signal());
        Ok(Workers { plan, command, events, runs: 0, interrupted })
    }

    /// Waits until all connections are open.
    async fn connect(&mut self) -> anyhow::Result<Result<(), CallError>> {
        for _ in 0..self.plan.shape.threads {
            match self.events.recv().await {
                Some(WorkerEvent::Connected(Ok(()))) => {}
                Some(WorkerEvent::Connected(Err(failure))) => return Ok(Err(failure)),
                Some(WorkerEvent::Failed(error)) => return Err(error.into()),
                other => bail!("a worker ended before it started: {other:?}"),
            }
        }
        Ok(Ok(()))
    }

    /// Makes one run and returns its results.
    async fn run(&mut self, rate: Option<f64>, stderr: &Stderr) -> anyhow::Result<Summary> {
        let Shape { until, warm_up, threads, .. } = self.plan.shape;
        self.runs += 1;
        let begin = Instant::now() + START_DELAY;
        let run = Run { number: self.runs, rate, until, begin, measure: begin + warm_up };
        let mut summary = Summary::new(rate);
        summary.started = SystemTime::now() + START_DELAY + warm_up;
        self.command.send_replace(WorkerCommand::Run(run));
        stderr.load_progress(0.0, || self.labelled(&run, "warming up"));
        let (mut end, mut last_end, mut running) = (run.end(), None, threads);
        while running > 0 {
            let event = tokio::select! {
                event = self.events.recv() => event,
                by = &mut self.interrupted, if summary.interrupted.is_none() => {
                    summary.interrupted = Some(by);
                    // After its end, a run only waits for calls.
                    let now = Instant::now().max(run.measure);
                    end = Some(end.map_or(now, |end: Instant| end.min(now)));
                    self.command.send_replace(WorkerCommand::Stop);
                    continue;
                }
            };
            match event {
                Some(WorkerEvent::Counted(counts)) => {
                    summary.add(run.measure.elapsed(), *counts);
                    let done = fraction_done(&run, &summary);
                    stderr.load_progress(done, || self.progress_text(&run, &summary));
                }
                Some(WorkerEvent::Ended(result)) => {
                    running -= 1;
                    last_end = last_end.max(Some(result.at));
                    summary.add_worker(*result);
                }
                Some(WorkerEvent::Connected(_) | WorkerEvent::Failed(_)) => {}
                // A worker that is stopped between two runs does not make the next one.
                None if summary.interrupted.is_some() => break,
                Some(WorkerEvent::Panicked) | None => {
                    bail!("a worker thread of the load test panicked")
                }
            }
        }
        // A number of calls is measured until the last of them has ended.
        let until = end.or(last_end).unwrap_or(run.measure);
        summary.measured = until.saturating_duration_since(run.measure);
        summary.started = summary.started.min(SystemTime::now());
        Ok(summary)
    }

    /// Waits until all threads have closed their connections.
    async fn end(self) {
        let Workers { command, mut events, .. } = self;
        drop(command);
        while events.recv().await.is_some() {}
    }

    /// Returns the progress line: `20000/s, p50 190us, p99 820us, 0 failed`.
    fn progress_text(&self, run: &Run, summary: &Summary) -> String {
        let counts = &summary.counts;
        let measured = run.measure.elapsed().as_secs_f64().max(1e-3);
        let percentile = |p| HumanDuration::from_micros(counts.latency.percentile(p));
        let rate = PerSecond(counts.ok() as f64 / measured);
        let (p50, p99, failed) = (percentile(50.0), percentile(99.0), counts.failed());
        self.labelled(run, &format!("{rate}, p50 {p50}, p99 {p99}, {failed} failed"))
    }

    /// Returns a text after the number and the rate of a run of a range.
    fn labelled(&self, run: &Run, text: &str) -> String {
        match (self.plan.shape.rate, run.rate) {
            (Some(Rate::Range(_)), Some(rate)) => {
                format!("run {} at {}: {text}", run.number, PerSecond(rate))
            }
            _ => text.to_owned(),
        }
    }
}

/// Returns the share of a run that is done.
fn fraction_done(run: &Run, summary: &Summary) -> f64 {
    match run.until {
        Until::Elapsed(duration) => {
            let whole = run.measure - run.begin + duration;
            run.begin.elapsed().div_duration_f64(whole)
        }
        Until::Calls(calls) => {
            let counts = &summary.counts;
            (counts.ok() + counts.failed()) as f64 / calls as f64
        }
    }
}
