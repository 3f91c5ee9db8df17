//! Runs Chromium without a window.

use super::command::capture;
use super::tools;

/// Opens a page and returns its elements after the event `load`, or later if `flags` say so.
pub(crate) fn elements(flags: &[&str], url: &str) -> anyhow::Result<String> {
    let profile = tempfile::tempdir()?;
    let mut chromium = tools::chromium()?;
    chromium.arg(format!("--user-data-dir={}", profile.path().display()));
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    chromium.args(["--hide-scrollbars", "--dump-dom"]).args(flags).arg(url);
    capture(&mut chromium)?.succeeded()
}
