//! Who asked for what and who got it: the book that a drain under load is held to.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};

use crate::harness::command::run;
use crate::harness::programs::Programs;

/// One batch of calls on one connection, as `greet-cli` reports it.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) answered: u64,
    /// Names whose call was never sent: exit code 3, safe to repeat elsewhere.
    pub(crate) never_sent: Vec<String>,
}

/// Greets all of `names` at `target`. A call that was sent and not answered is an error: lost.
pub(crate) fn greet_all(
    programs: &Programs,
    target: &str,
    names: &[String],
) -> anyhow::Result<Batch> {
    let mut arguments = vec!["--output", "json", "--timeout", "20s", "hello"];
    arguments.extend(names.iter().flat_map(|name| ["--name", name]));
    let ran = run(&mut programs.greet(target, &arguments))?;
    let mut batch = Batch::default();
    for line in ran.stdout.lines() {
        let call: serde_json::Value = serde_json::from_str(line).context("a call is an object")?;
        let name = call["name"].as_str().context("a call has a name")?;
        let stage = call["error"]["stage"].as_str();
        match stage {
            None => {
                anyhow::ensure!(call["message"] == format!("Hello {name}"), "wrong reply: {line}");
                batch.answered += 1;
            }
            Some("dns" | "tcp" | "http2") => batch.never_sent.push(name.to_owned()),
            Some(_) => bail!("a call was accepted and not answered: {line}"),
        }
    }
    let told = batch.answered + batch.never_sent.len() as u64;
    anyhow::ensure!(told == names.len() as u64, "{told} of {} calls were told of", names.len());
    Ok(batch)
}

/// What several clients wanted and what they got, by server.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) wanted: u64,
    pub(crate) received: BTreeMap<&'static str, u64>,
}

impl Ledger {
    pub(crate) fn received(&mut self, from: &'static str, answered: u64) {
        *self.received.entry(from).or_default() += answered;
    }

    pub(crate) fn add(&mut self, other: &Ledger) {
        self.wanted += other.wanted;
        for (from, answered) in &other.received {
            self.received(from, *answered);
        }
    }

    /// What `server` says it answered must be what its clients received from it.
    pub(crate) fn agrees(&self, server: &'static str, answered: u64) -> anyhow::Result<()> {
        let received = self.received.get(server).copied().unwrap_or_default();
        anyhow::ensure!(
            received == answered,
            "{server} answered {answered} calls, its clients received {received} replies"
        );
        Ok(())
    }
}
