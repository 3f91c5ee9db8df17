//! `greet-cli load` with a range of rates: one that the daemon sustains, and one that greet-cli
//! cannot make.

use anyhow::ensure;
use serde_json::Value;

use crate::harness::command::capture;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let daemon = Daemon::start(programs, &["--listen=127.0.0.1:0", "--workers=1"])?;
    let load = |flags: &[&str]| -> anyhow::Result<Value> {
        let flags = [&["--output=json", "load"], flags].concat();
        let report = capture(&mut programs.client(&daemon.target, &flags))?.succeeded()?;
        Ok(serde_json::from_str(&report)?)
    };

    // A pace for a machine that is busy with other tests, and a bound for one that hangs.
    let pace = ["--rate=2..8", "--step=2", "--hold=1s"];
    let steps = load(&pace)?;
    let runs = steps["steps"].as_array().map_or(0, Vec::len);
    ensure!(runs == 4 && steps["knee_rate_per_s"].is_null(), "{steps}");
    ensure!(steps["calls"]["sent"] == 8 && steps["rate_per_s"] == 8.0, "{steps}");
    let search = load(&[&pace[..], &["--find=p99<10s"]].concat())?;
    let found = &search["find"];
    ensure!(found["rate_per_s"] == 8.0 && found["confirmed"] == true, "{search}");

    // One thread makes no such number of calls, so the result says nothing about the daemon.
    let excessive = ["--rate=10000000..20000000", "--hold=200ms", "--warm-up=0s", "--threads=1"];
    let excess = load(&excessive)?;
    let step = &excess["steps"][0];
    ensure!(step["is_sustained"] == false && excess["knee_rate_per_s"].is_null(), "{excess}");
    let Some(bottleneck) = step["bottleneck"].as_str() else {
        anyhow::bail!("greet-cli was the limit: {excess}");
    };
    daemon.stop_cleanly()?;
    Ok(format!("found 8/s in {} runs; at 10000000/s {bottleneck}", found["runs"]))
}
