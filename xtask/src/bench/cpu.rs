//! CPU time of clients, and of other guests of the machine.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

use crate::harness::resources::{cpu_fields, sum_of_ticks};

/// Returns the CPU time of the children of this process that have ended.
pub(super) fn cpu_time_of_children() -> anyhow::Result<Duration> {
    cpu_fields("self", 13)
}

/// Returns the CPU time that other guests of the machine took from all cores.
pub(super) fn steal_time() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let total = stat.lines().next().context("/proc/stat is empty")?;
    Ok(sum_of_ticks(total.split_whitespace().skip(8).take(1)))
}
