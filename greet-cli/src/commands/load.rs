//! `load`: runs a load test, prints its figures, and fails if they are not what they must be.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::{Context, wait_until_reachable};
use crate::client::Client;
use crate::exit::Exit;
use crate::load;
use crate::load::{LoadOptions, Plan, Summary, TextReport, page};
use crate::output::{Stderr, Stdout};

pub(crate) async fn run(
    options: &LoadOptions,
    context: Context,
    stdout: &mut Stdout,
    stderr: &mut Stderr,
) -> anyhow::Result<Exit> {
    // The page's file before the load: who cannot have the one does not want the other.
    let Context { targets, wait, call_options } = context;
    let client = Client::new(call_options.clone(), &targets, 1);
    let prepared = page_file(options).and_then(|html| {
        Ok((html, Plan::new(&options.names, options.shape, targets, call_options)?))
    });
    let (html, plan) = match prepared {
        Ok(prepared) => prepared,
        Err(invalid) => {
            stderr.note(format_args!("{invalid:#}"));
            return Ok(Exit::Usage);
        }
    };
    wait_until_reachable(&client, wait, stderr).await;
    let (summary, unreachable) = match load::run::run(&plan, stderr).await? {
        Ok(summary) => (summary, None),
        Err(failure) => (Summary::failed(failure.clone()), Some(failure)),
    };
    let report = load::report(&plan, &summary, &options.thresholds);
    let text = TextReport { plan: &plan, summary: &summary }.to_string();
    stdout.line(unreachable.is_none().then_some(&text), || &report);
    stdout.flush().await?;
    if let Some(failure) = unreachable {
        stderr.failure(&failure);
        return Ok(failure.exit());
    }
    if let Some((name, mut file)) = html {
        let _ = file.set_len(0); // what is no regular file has no length
        let written = file.write_all(page(&report).as_bytes());
        written.with_context(|| format!("could not write `{}`", name.display()))?;
    }
    Ok(conclude(options, &summary, stderr))
}

/// The file for the page, if there is to be one.
fn page_file(options: &LoadOptions) -> anyhow::Result<Option<(&Path, File)>> {
    let Some(name) = options.html.as_deref() else {
        return Ok(None);
    };
    // What is there stays until there is another.
    let file = File::options().create(true).write(true).truncate(false).open(name);
    Ok(Some((name, file.with_context(|| format!("could not write `{}`", name.display()))?)))
}

/// What is to be known beyond the figures, and how it ends.
fn conclude(options: &LoadOptions, summary: &Summary, stderr: &Stderr) -> Exit {
    if let Some(bottleneck) = summary.bottleneck() {
        stderr.note(format_args!("{bottleneck}"));
    }
    let crossed = options.thresholds.iter().filter(|rule| rule.is_crossed(summary));
    for rule in crossed {
        stderr.note(format_args!("--fail-if '{rule}' holds: {}", rule.measured(summary)));
    }
    if let Some(failure) = &summary.counts.first_failure {
        stderr.failure(failure);
    }
    let exit = load::exit(summary, &options.thresholds);
    if exit == Exit::Usage {
        stderr.note(format_args!("no call was sent in the time that was given to measure"));
    }
    exit
}
