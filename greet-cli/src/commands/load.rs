//! `load`: runs a load test, prints its report and checks the `--fail-if` rules.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::{Context, wait_until_reachable};
use crate::client::Client;
use crate::error::CallError;
use crate::exit::Exit;
use crate::fd_limit;
use crate::load;
use crate::load::{
    Baseline, Comparison, Judgement, LoadOptions, Outcome, Plan, TextReport, Threshold, page,
};
use crate::output::{Stderr, Stdout};

pub(crate) async fn run(
    options: LoadOptions,
    context: Context,
    stdout: &mut Stdout,
    stderr: &mut Stderr,
) -> anyhow::Result<Exit> {
    // The files are opened before the load, so that an unusable one costs no load test.
    let Context { targets, wait, call_options } = context;
    let client = Client::new(call_options.clone(), &targets, 1);
    fd_limit::raise_to_hard_limit();
    let LoadOptions { method, inputs, shape, thresholds, find, baseline, html } = options;
    let prepare = || -> anyhow::Result<_> {
        let plan = Plan::new(method, inputs, shape, targets, call_options, find)?;
        let baseline = baseline.map(|file| Baseline::read(&file, &plan.load())).transpose()?;
        Ok((open_page(html.as_deref())?, baseline, plan))
    };
    let (html, baseline, plan) = match prepare() {
        Ok(prepared) => prepared,
        Err(invalid) => {
            stderr.error(format_args!("{invalid:#}"));
            return Ok(Exit::Usage);
        }
    };
    wait_until_reachable(&client, wait, stderr).await;
    let (outcome, unreachable) = match load::run::run(&plan, stderr).await? {
        Ok(outcome) => (outcome, None),
        Err(failure) => (Outcome::failed(failure.clone()), Some(failure)),
    };
    let summary = &outcome.summary;
    let comparison = baseline.as_ref().map(|baseline| Comparison::new(baseline, summary));
    let judge = |threshold: &Threshold| threshold.judge(summary, comparison.as_ref());
    let judgements: Vec<_> = thresholds.iter().map(judge).collect();
    let report = load::report(&plan, &outcome, comparison.as_ref(), &judgements);
    let mut text = TextReport { plan: &plan, outcome: &outcome }.to_string();
    if let Some(comparison) = &comparison {
        text.push_str(&format!("\n\n{comparison}"));
    }
    stdout.line(unreachable.is_none().then_some(&text), || &report);
    stdout.flush_blocking()?;
    if let Some(failure) = unreachable {
        stderr.failure(&failure);
        return Ok(failure.exit());
    }
    if let Some((name, mut file)) = html {
        let _ = file.set_len(0); // fails for pipes and devices, which have no length
        let written = file.write_all(page(&report).as_bytes());
        written.with_context(|| format!("could not write `{}`", name.display()))?;
    }
    if let Some(bottleneck) = comparison.as_ref().and_then(Comparison::baseline_bottleneck) {
        stderr.note(format_args!("baseline: {bottleneck}; greet-cli may have been the limit"));
    }
    Ok(conclude(&judgements, &outcome, stderr))
}

/// Opens the file of `--html`, if given. The old content stays until there is a report.
fn open_page(name: Option<&Path>) -> anyhow::Result<Option<(&Path, File)>> {
    let Some(name) = name else {
        return Ok(None);
    };
    let file = File::options().create(true).write(true).truncate(false).open(name);
    Ok(Some((name, file.with_context(|| format!("could not write `{}`", name.display()))?)))
}

/// Reports what the figures do not show, and returns the exit code.
fn conclude(judgements: &[Judgement], outcome: &Outcome, stderr: &Stderr) -> Exit {
    let Outcome { summary, capacity, interrupted } = outcome;
    if let Some(capacity) = capacity {
        if let Some(reason) = capacity.not_found().filter(|_| interrupted.is_none()) {
            stderr.error(format_args!("--find: {reason}"));
        }
    } else if let Some(bottleneck) = summary.bottleneck() {
        stderr.note(format_args!("{bottleneck}; greet-cli may be the limit"));
    }
    for failure in judgements.iter().filter_map(Judgement::failure) {
        stderr.error(format_args!("--fail-if: {failure}"));
    }
    let failure = outcome.first_failure();
    let dead = summary.connect_failures.take_unreported(|_| true);
    stderr.dead_servers(&dead, failure.and_then(CallError::connect_error));
    if let Some(failure) = failure {
        stderr.failure(failure);
    }
    let exit = outcome.exit(judgements);
    if exit == Exit::Usage {
        stderr.note(format_args!("no call was sent during the measurement"));
    }
    exit
}
