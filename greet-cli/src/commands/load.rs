//! `load`: runs a load test, prints its report and checks the `--fail-if` rules.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;

use super::{Context, wait_until_reachable};
use crate::client::Client;
use crate::error::CallError;
use crate::exit::Exit;
use crate::fd_limit;
use crate::load;
use crate::load::{
    Baseline, Capacity, Comparison, Judgement, LoadOptions, Outcome, Plan, TextReport, page,
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
        Ok((html.as_deref().map(PageFile::open).transpose()?, baseline, plan))
    };
    let (html, baseline, plan) = match prepare() {
        Ok(prepared) => prepared,
        Err(invalid) => {
            stderr.error(format_args!("{invalid:#}"));
            return Ok(Exit::Usage);
        }
    };
    wait_until_reachable(&client, wait, stderr).await;
    let (outcome, unreachable) = match load::run::run(&plan, stdout, stderr).await? {
        Ok(outcome) => (outcome, None),
        Err(failure) => (Outcome::failed(failure.clone()), Some(failure)),
    };
    let summary = &outcome.summary;
    let comparison = baseline.as_ref().map(|baseline| Comparison::new(baseline, summary));
    let judgements = outcome.judge(&thresholds, comparison.as_ref());
    let report = load::report(&plan, &outcome, comparison.as_ref(), &judgements);
    // Neither a full disk nor a full standard output costs the other report.
    let page_written = html.map(|file| file.write(&page(&report))).transpose();
    let mut text = TextReport { plan: &plan, outcome: &outcome }.to_string();
    if let Some(comparison) = &comparison {
        text.push_str(&format!("\n\n{comparison}"));
    }
    stdout.line(unreachable.is_none().then_some(&text), || &report);
    stdout.flush_blocking()?;
    page_written?;
    if let Some(failure) = unreachable {
        stderr.failure(&failure);
        return Ok(failure.exit());
    }
    if let Some(bottleneck) = comparison.as_ref().and_then(Comparison::baseline_bottleneck) {
        stderr.note(format_args!("baseline: {bottleneck}; greet-cli may have been the limit"));
    }
    Ok(conclude(&judgements, &outcome, stderr))
}

/// The file of `--html`.
struct PageFile<'a> {
    path: &'a Path,
    /// `None` if it does not exist yet.
    existing: Option<File>,
}

impl PageFile<'_> {
    /// Fails if the file is not writable. Its old content stays until there is a report, and a new file
    /// does not exist before.
    fn open(path: &Path) -> anyhow::Result<PageFile<'_>> {
        let existing = match File::create_new(path) {
            Ok(_created) => fs::remove_file(path).map(|()| None),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                File::options().write(true).create(true).truncate(false).open(path).map(Some)
            }
            Err(error) => Err(error),
        };
        let existing = existing.with_context(|| not_written(path))?;
        Ok(PageFile { path, existing })
    }

    fn write(self, page: &str) -> anyhow::Result<()> {
        let file = match self.existing {
            Some(file) => {
                let _ = file.set_len(0); // fails for pipes and devices, which have no length
                Ok(file)
            }
            None => File::create(self.path),
        };
        let written = file.and_then(|mut file| file.write_all(page.as_bytes()));
        written.with_context(|| not_written(self.path))
    }
}

fn not_written(path: &Path) -> String {
    format!("could not write `{}`", path.display())
}

/// Reports what the figures do not show, and returns the exit code.
fn conclude(judgements: &[Judgement], outcome: &Outcome, stderr: &Stderr) -> Exit {
    let Outcome { summary, capacity, interrupted } = outcome;
    let bottleneck = match capacity {
        Some(capacity) => capacity.bottleneck(),
        None => summary.bottleneck(),
    };
    if let Some(bottleneck) = bottleneck {
        stderr.note(format_args!("{bottleneck}; greet-cli may be the limit"));
    }
    let not_found = capacity.as_ref().and_then(Capacity::not_found);
    if let Some(reason) = not_found.filter(|_| interrupted.is_none()) {
        stderr.error(format_args!("--find: {reason}"));
    }
    for judgement in judgements {
        if judgement.is_failure() {
            stderr.error(format_args!("--fail-if: {judgement}"));
        } else {
            stderr.note_of_text(format_args!("--fail-if: {judgement}"));
        }
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
