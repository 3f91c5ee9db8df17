//! The table at the end of a run: each check, its result and how long it took.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::command::{print, progress};

/// A tool that is not installed, and how to install it. As an error it means SKIP, not FAIL.
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

/// Fails as missing on a system without `/proc`.
pub(crate) fn require_linux() -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        return Err(Missing { what: "/proc", install: "Linux".to_owned() }.into());
    }
    Ok(())
}

/// The checks so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    verdict: Verdict,
    took: Duration,
    /// The findings, or the reason for a failure or a skip.
    note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

impl Report {
    /// Runs a check and records the note that it returns.
    pub(crate) fn check(
        &mut self,
        name: &'static str,
        check: impl FnOnce() -> anyhow::Result<String>,
    ) {
        progress(format_args!("── {name}"));
        let started = Instant::now();
        let checked = check();
        let took = started.elapsed();
        let (verdict, note) = match checked {
            Ok(note) => (Verdict::Passed, note),
            Err(error) if error.is::<Missing>() => (Verdict::Skipped, error.to_string()),
            Err(error) => {
                progress(format_args!("{name} failed: {error:#}"));
                let first_line = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
                (Verdict::Failed, first_line)
            }
        };
        self.rows.push(Row { name, verdict, took, note });
    }

    /// Prints the table. Fails if a check failed, or was skipped although `require_all` is set.
    /// `rerun` is the command that repeats one check.
    pub(crate) fn conclude(&self, rerun: &str, require_all: bool) -> anyhow::Result<()> {
        let widest = self.rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
        for Row { name, verdict, took, note } in &self.rows {
            let verdict = match verdict {
                Verdict::Passed => "ok",
                Verdict::Failed => "FAIL",
                Verdict::Skipped => "SKIP",
            };
            let seconds = took.as_secs_f64();
            print(format_args!("{verdict:<4}  {name:<widest$}  {seconds:>6.1} s  {note}"))?;
        }
        let count = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        let [passed, failed, skipped] =
            [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(count);
        print(format_args!("{passed} passed, {failed} failed, {skipped} skipped"))?;
        if failed > 0 {
            bail!("{failed} failed; repeat with: {rerun}");
        }
        if require_all && skipped > 0 {
            bail!("{skipped} skipped, and --require-all allows none");
        }
        Ok(())
    }
}
