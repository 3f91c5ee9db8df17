//! What the kernel knows of this process, under the names that Prometheus' own libraries use.

/// As far as it could be read; where there is no `/proc`, nothing of it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Process {
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) virtual_bytes: Option<u64>,
    pub(crate) open_fds: Option<u64>,
    pub(crate) max_fds: Option<u64>,
    pub(crate) threads: Option<u64>,
    /// Since 1970.
    pub(crate) started_seconds: Option<f64>,
}

#[cfg(target_os = "linux")]
impl Process {
    pub(crate) fn read() -> Process {
        use procfs::{CurrentSI as _, WithCurrentSystemInfo as _, process};

        let Ok(myself) = process::Process::myself() else {
            return Process::default();
        };
        let open_fds = myself.fd_count().ok().map(|fds| fds as u64);
        let limit = myself.limits().ok().map(|limits| limits.max_open_files.soft_limit);
        let max_fds = limit.map(|limit| match limit {
            process::LimitValue::Value(most) => most,
            process::LimitValue::Unlimited => u64::MAX,
        });
        let Ok(stat) = myself.stat() else {
            return Process { open_fds, max_fds, ..Process::default() };
        };
        let ticks_a_second = procfs::ticks_per_second() as f64;
        let since_boot = stat.starttime as f64 / ticks_a_second;
        let booted = procfs::KernelStats::current().ok().map(|kernel| kernel.btime as f64);
        Process {
            cpu_seconds: Some((stat.utime + stat.stime) as f64 / ticks_a_second),
            resident_bytes: Some(stat.rss_bytes().get()),
            virtual_bytes: Some(stat.vsize),
            open_fds,
            max_fds,
            threads: u64::try_from(stat.num_threads).ok(),
            started_seconds: booted.map(|booted| booted + since_boot),
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Process {
    pub(crate) fn read() -> Process {
        Process::default()
    }
}
