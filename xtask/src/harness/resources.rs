//! What a process holds, as the kernel counts it: after an attack it must be what it was before.

use std::fs;

use anyhow::Context as _;

use crate::harness::daemon::Daemon;
#[cfg(unix)]
use crate::harness::report::Missing;

/// What a process holds.
#[derive(Debug)]
pub(crate) struct Resources {
    pub(crate) descriptors: usize,
    pub(crate) kib: u64,
    /// The most that it ever held.
    pub(crate) peak_kib: u64,
}

impl Resources {
    pub(crate) fn of(daemon: &Daemon) -> anyhow::Result<Resources> {
        let process = format!("/proc/{}", daemon.id());
        let descriptors = fs::read_dir(format!("{process}/fd"))?.count();
        let status = fs::read_to_string(format!("{process}/status"))?;
        let kib = |name: &str| -> anyhow::Result<u64> {
            let held = status.lines().find_map(|line| line.strip_prefix(name));
            let held = held.with_context(|| format!("{process}/status has no {name}"))?;
            Ok(held.trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Resources { descriptors, kib: kib("VmRSS:")?, peak_kib: kib("VmHWM:")? })
    }
}

/// Room for so many descriptors; whatever is started from here on inherits it.
#[cfg(unix)]
pub(crate) fn raise_descriptor_limit(descriptors: u64) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= descriptors) {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(descriptors), maximum }).map_err(|_| {
        let install = format!("ulimit -n {descriptors}");
        Missing { what: "room for so many descriptors", install }.into()
    })
}

#[cfg(not(unix))]
pub(crate) fn raise_descriptor_limit(_descriptors: u64) -> anyhow::Result<()> {
    Ok(())
}
