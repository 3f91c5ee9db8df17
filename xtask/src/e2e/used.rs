//! What a process holds, as the kernel counts it: after an attack it must be what it was before.

use std::fs;

use anyhow::Context as _;

use crate::daemon::Daemon;

/// What a process holds.
#[derive(Debug)]
pub(crate) struct Used {
    pub(crate) descriptors: usize,
    pub(crate) kib: u64,
}

impl Used {
    pub(crate) fn by(daemon: &Daemon) -> anyhow::Result<Used> {
        let process = format!("/proc/{}", daemon.id());
        let descriptors = fs::read_dir(format!("{process}/fd"))?.count();
        let status = fs::read_to_string(format!("{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.context("a process has a resident set")?;
        let kib = resident.trim().trim_end_matches(" kB").parse()?;
        Ok(Used { descriptors, kib })
    }
}
