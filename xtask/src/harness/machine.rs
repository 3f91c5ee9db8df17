//! The machine of a measurement, for the documents with figures.

use std::fs;
use std::time::SystemTime;

use super::command::{capture, program};

/// Returns today's date.
pub(crate) fn date() -> String {
    humantime::format_rfc3339(SystemTime::now()).to_string()[..10].to_owned()
}

/// Returns the load average of the last minute.
pub(crate) fn load_average() -> anyhow::Result<f64> {
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(load.split(' ').next().unwrap_or_default().parse()?)
}

/// Returns the machine as `2 cores, AMD EPYC, Linux 6.1, rustc 1.95.0`.
pub(crate) fn machine() -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown processor");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let rust = capture(program("rustc").arg("--version"))?.succeeded()?;
    let (kernel, rust) = (kernel.trim(), rust.trim());
    Ok(format!("{cores} cores, {model}, Linux {kernel}, {rust}"))
}
