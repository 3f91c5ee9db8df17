//! `load`: runs a load test, prints its figures, and fails if they are not what they must be.

use std::path::Path;

use anyhow::Context as _;

use super::wait;
use crate::args::{ConnectionArgs, LoadArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::load::{Figures, LoadReport, Plan, Text, page, test};
use crate::output::{Data, Prose};
use crate::terms::Terms;

pub(super) async fn run(
    args: &LoadArgs,
    connection: &ConnectionArgs,
    terms: Terms,
    data: &mut Data,
    prose: &mut Prose,
) -> anyhow::Result<Exit> {
    let plan = match Plan::new(args, connection, terms.clone()) {
        Ok(plan) => plan,
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
    if let Some(file) = &args.html {
        write(file, &page(&report))?;
    }
    Ok(conclude(args, &figures, prose))
}

fn write(file: &Path, page: &str) -> anyhow::Result<()> {
    std::fs::write(file, page).with_context(|| format!("could not write `{}`", file.display()))
}

/// What is to be known beyond the figures, and how it ends.
fn conclude(args: &LoadArgs, figures: &Figures, prose: &Prose) -> Exit {
    if let Some(bottleneck) = figures.bottleneck() {
        prose.note(format_args!("{bottleneck}"));
    }
    let crossed = args.fail_if.iter().filter(|rule| rule.is_crossed(figures));
    let crossed = crossed.inspect(|rule| {
        prose.note(format_args!("--fail-if '{rule}' holds: {}", rule.measured(figures)));
    });
    let is_crossed = crossed.count() > 0;
    let failure = figures.counts.first_failure.as_ref();
    if let Some(failure) = failure {
        prose.failure(failure);
    }
    match failure {
        _ if figures.was_interrupted => Exit::Interrupted,
        _ if is_crossed => Exit::Crossed,
        // Some may fail, that is for --fail-if to judge; but nothing was measured if all did.
        Some(failure) if figures.counts.ok() == 0 => failure.exit(),
        _ => Exit::Done,
    }
}
