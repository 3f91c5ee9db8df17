//! Report as a table: what was checked, how it went, how long it took.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::harness::command::{result, step};

/// Something that is not on this machine, and how to get it. As an error it means SKIP, not FAIL.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) what: &'static str,
    pub(crate) install: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is missing; install it with: {}", self.what, self.install)
    }
}

impl std::error::Error for Missing {}

/// What has been checked so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    verdict: Verdict,
    took: Duration,
    /// What was seen, or why not.
    note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

impl Report {
    /// Runs a check; its note says what was seen.
    pub(crate) fn check(
        &mut self,
        name: &'static str,
        check: impl FnOnce() -> anyhow::Result<String>,
    ) {
        step(format_args!("── {name}"));
        let begun = Instant::now();
        let checked = check();
        let took = Instant::now() - begun;
        let (verdict, note) = match checked {
            Ok(note) => (Verdict::Passed, note),
            Err(error) if error.is::<Missing>() => (Verdict::Skipped, error.to_string()),
            Err(error) => {
                step(format_args!("{name} failed: {error:#}"));
                let first_line = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
                (Verdict::Failed, first_line)
            }
        };
        self.rows.push(Row { name, verdict, took, note });
    }

    /// Prints the table and its sum, and fails if a check did, or if one was skipped and must not be.
    /// `rerun` is the command that checks one again.
    pub(crate) fn conclude(&self, rerun: &str, require_all: bool) -> anyhow::Result<()> {
        let widest = self.rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
        for Row { name, verdict, took, note } in &self.rows {
            let verdict = match verdict {
                Verdict::Passed => "ok",
                Verdict::Failed => "FAIL",
                Verdict::Skipped => "SKIP",
            };
            let seconds = took.as_secs_f64();
            result(format_args!("{verdict:<4}  {name:<widest$}  {seconds:>6.1} s  {note}"))?;
        }
        let count = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        let (passed, failed) = (count(Verdict::Passed), count(Verdict::Failed));
        let skipped = count(Verdict::Skipped);
        result(format_args!("{passed} passed, {failed} failed, {skipped} skipped"))?;
        if failed > 0 {
            bail!("{failed} failed; again with: {rerun}");
        }
        if require_all && skipped > 0 {
            bail!("{skipped} skipped, and --require-all allows none");
        }
        Ok(())
    }
}
