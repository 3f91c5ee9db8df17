//! `cargo xtask images`: takes the picture of the report of `load` in the README from a run.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::harness::chromium;
use crate::harness::command::{capture, progress};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{self, root};
use crate::harness::tools;

/// One worker, and calls with names of 15 kB, so that the daemon reaches its limit before greet-cli does.
const DAEMON: [&str; 3] = ["--listen=127.0.0.1:50051", "--workers=1", "--max-name-bytes=15000"];
const NAME_BYTES: usize = 15_000;
const LOAD: [&str; 5] =
    ["load", "--rate=2000..40000", "--step=2000", "--hold=2s", "--warm-up=500ms"];
/// Fewer show no curve.
const MIN_STEPS: usize = 5;
/// From the title to the table of steps.
const WINDOW: &str = "--window-size=1000,1200";

pub(crate) fn run() -> anyhow::Result<()> {
    tools::chromium()?;
    let programs = programs::build(true)?;
    let daemon = Daemon::start(&programs, &DAEMON)?;
    let folder = tempfile::tempdir()?;
    let page = folder.path().join("load.html");
    progress(format_args!("running a load test"));
    let mut load = programs.client(&daemon.target, &["--output=json"]);
    load.args(LOAD).arg(format!("--name={}", "x".repeat(NAME_BYTES))).arg("--html").arg(&page);
    let report: Value = serde_json::from_str(&capture(&mut load)?.succeeded()?)?;
    let steps = report["steps"].as_array().map_or(0, Vec::len);
    let has_knee = report["knee_rate_per_s"].is_number() && steps >= MIN_STEPS;
    ensure!(has_knee, "no limit of the daemon in {steps} steps; repeat on an idle machine");
    let picture = root().join("docs/images/load.png");
    let flags = [WINDOW, &format!("--screenshot={}", picture.display())];
    let shown = chromium::elements(&flags, &format!("file://{}", page.display()))?;
    ensure!(shown.contains("<svg"), "the page has no plot: {shown}");
    daemon.stop_cleanly().context("after the load test")?;
    progress(format_args!("wrote {}", picture.display()));
    Ok(())
}
