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
use crate::load::{LoadOptions, Plan, Summary, TextReport, Threshold, page};
use crate::output::{Stderr, Stdout};

pub(crate) async fn run(
    options: LoadOptions,
    context: Context,
    stdout: &mut Stdout,
    stderr: &mut Stderr,
) -> anyhow::Result<Exit> {
    // The file of --html is opened before the load, so that an unusable path costs no load test.
    let Context { targets, wait, call_options } = context;
    let client = Client::new(call_options.clone(), &targets, 1);
    fd_limit::raise_to_hard_limit();
    let LoadOptions { method, inputs, shape, thresholds, find, html } = options;
    let prepared = open_page(html.as_deref()).and_then(|html| {
        Ok((html, Plan::new(method, inputs, shape, targets, call_options, find)?))
    });
    let (html, plan) = match prepared {
        Ok(prepared) => prepared,
        Err(invalid) => {
            stderr.error(format_args!("{invalid:#}"));
            return Ok(Exit::Usage);
        }
    };
    wait_until_reachable(&client, wait, stderr).await;
    let (summary, unreachable) = match load::run::run(&plan, stderr).await? {
        Ok(summary) => (summary, None),
        Err(failure) => (Summary::failed(failure.clone()), Some(failure)),
    };
    let report = load::report(&plan, &summary, &thresholds);
    let text = TextReport { plan: &plan, summary: &summary }.to_string();
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
    Ok(conclude(&thresholds, &summary, stderr))
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
fn conclude(thresholds: &[Threshold], summary: &Summary, stderr: &Stderr) -> Exit {
    if let Some(capacity) = &summary.capacity {
        if let Some(reason) = capacity.not_found().filter(|_| !summary.is_interrupted()) {
            stderr.error(format_args!("--find: {reason}"));
        }
    } else if let Some(bottleneck) = summary.bottleneck() {
        stderr.note(format_args!("{bottleneck}; greet-cli may be the limit"));
    }
    for rule in thresholds.iter().filter(|rule| rule.is_violated(summary)) {
        stderr.error(format_args!(
            "--fail-if: threshold '{rule}' violated: {}",
            rule.measured(summary)
        ));
    }
    let failure = summary.first_failure();
    let dead = summary.connect_failures.take_unreported(|_| true);
    stderr.dead_servers(&dead, failure.and_then(CallError::connect_error));
    if let Some(failure) = failure {
        stderr.failure(failure);
    }
    let exit = load::exit(summary, thresholds);
    if exit == Exit::Usage {
        stderr.note(format_args!("no call was sent during the measurement"));
    }
    exit
}
