//! The descriptors, the memory and the CPU time of a process, as the kernel counts them.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

use super::daemon::Daemon;
#[cfg(unix)]
use super::report::Missing;

/// The resources of a process.
#[derive(Debug)]
pub(crate) struct Resources {
    pub(crate) descriptors: usize,
    pub(crate) kib: u64,
    /// The maximum of `kib` since the start, or since [`reset_peak`].
    pub(crate) peak_kib: u64,
}

impl Resources {
    pub(crate) fn of(daemon: &Daemon) -> anyhow::Result<Resources> {
        let process = format!("/proc/{}", daemon.id());
        let descriptors = fs::read_dir(format!("{process}/fd"))?.count();
        let status = fs::read_to_string(format!("{process}/status"))?;
        let kib = |name: &str| -> anyhow::Result<u64> {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let value = value.with_context(|| format!("{process}/status has no {name}"))?;
            Ok(value.trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Resources { descriptors, kib: kib("VmRSS:")?, peak_kib: kib("VmHWM:")? })
    }
}

/// Starts a new maximum of the memory.
pub(crate) fn reset_peak(daemon: &Daemon) -> anyhow::Result<()> {
    let file = format!("/proc/{}/clear_refs", daemon.id());
    fs::write(&file, "5").context(file)
}

/// Returns the CPU time of a server on all cores, user and system.
pub(crate) fn cpu_time(daemon: &Daemon) -> anyhow::Result<Duration> {
    cpu_fields(&daemon.id().to_string(), 11)
}

/// Adds up two fields of `/proc/PROCESS/stat`, counted from the one after the name.
pub(crate) fn cpu_fields(process: &str, first: usize) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("a process has a name")?;
    Ok(sum_of_ticks(fields.split(' ').skip(first).take(2)))
}

/// Adds up times of `/proc`. Their unit is USER_HZ, 100 a second on every Linux that Rust supports.
pub(crate) fn sum_of_ticks<'a>(fields: impl Iterator<Item = &'a str>) -> Duration {
    const MS_PER_TICK: u64 = 10;
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * MS_PER_TICK)
}

/// Raises the limit of open descriptors; every process that starts later inherits it.
#[cfg(unix)]
pub(crate) fn raise_descriptor_limit(descriptors: u64) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= descriptors) {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(descriptors), maximum }).map_err(|_| {
        let install = format!("ulimit -n {descriptors}");
        Missing { what: "a sufficient limit of open descriptors", install }.into()
    })
}

#[cfg(not(unix))]
pub(crate) fn raise_descriptor_limit(_descriptors: u64) -> anyhow::Result<()> {
    Ok(())
}
