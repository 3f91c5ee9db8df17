//! `load`: runs a load test, prints its figures, and fails if they are not what they must be.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::wait;
use crate::args::{ConnectionArgs, LoadArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::load::{self, Figures, LoadReport, Plan, Text, page, test};
use crate::output::{Data, Prose};
use crate::terms::Terms;

pub(super) async fn run(
    args: &LoadArgs,
    connection: &ConnectionArgs,
    terms: Terms,
    data: &mut Data,
    prose: &mut Prose,
) -> anyhow::Result<Exit> {
    // The page's file before the load: who cannot have the one does not want the other.
    let prepared =
        page_file(args).and_then(|html| Ok((html, Plan::new(args, connection, terms.clone())?)));
    let (html, plan) = match prepared {
        Ok(prepared) => prepared,
        Err(unusable) => {
            prose.note(format_args!("{unusable:#}"));
            return Ok(Exit::Usage);
        }
    };
    wait::until_reachable(&Client::new(terms, &connection.target, 1), connection, prose).await;
    let (figures, unreachable) = match test::run(&plan, prose).await? {
        Ok(figures) => (figures, None),
        Err(failure) => (Figures::of_nothing(failure.clone()), Some(failure)),
    };
    let report = LoadReport::new(&plan, &figures, &args.fail_if);
    let text = Text { plan: &plan, figures: &figures }.to_string();
    data.line(unreachable.is_none().then_some(&text), || &report);
    data.flush().await?;
    if let Some(failure) = unreachable {
        prose.failure(&failure);
        return Ok(failure.exit());
    }
    if let Some((name, mut file)) = html {
        let _ = file.set_len(0); // what is no regular file has no length
        let written = file.write_all(page(&report).as_bytes());
        written.with_context(|| format!("could not write `{}`", name.display()))?;
    }
    Ok(conclude(args, &figures, prose))
}

/// The file for the page, if there is to be one.
fn page_file(args: &LoadArgs) -> anyhow::Result<Option<(&Path, File)>> {
    let Some(name) = args.html.as_deref() else {
        return Ok(None);
    };
    // What is there stays until there is another.
    let file = File::options().create(true).write(true).truncate(false).open(name);
    Ok(Some((name, file.with_context(|| format!("could not write `{}`", name.display()))?)))
}

/// What is to be known beyond the figures, and how it ends.
fn conclude(args: &LoadArgs, figures: &Figures, prose: &Prose) -> Exit {
    if let Some(bottleneck) = figures.bottleneck() {
        prose.note(format_args!("{bottleneck}"));
    }
    let crossed = args.fail_if.iter().filter(|rule| rule.is_crossed(figures));
    for rule in crossed {
        prose.note(format_args!("--fail-if '{rule}' holds: {}", rule.measured(figures)));
    }
    if let Some(failure) = &figures.counts.first_failure {
        prose.failure(failure);
    }
    let exit = load::exit(figures, &args.fail_if);
    if exit == Exit::Usage {
        prose.note(format_args!("no call was sent in the time that was given to measure"));
    }
    exit
}
