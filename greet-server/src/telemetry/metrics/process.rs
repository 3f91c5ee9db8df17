//! Reads the metrics of the process from `/proc`, as Prometheus client libraries do.

/// The values that could be read; none without `/proc`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ProcessMetrics {
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) virtual_bytes: Option<u64>,
    pub(crate) open_fds: Option<u64>,
    pub(crate) max_fds: Option<u64>,
    pub(crate) threads: Option<u64>,
    /// Start time, in seconds since 1970.
    pub(crate) started_seconds: Option<f64>,
}

#[cfg(target_os = "linux")]
impl ProcessMetrics {
    pub(crate) fn read() -> ProcessMetrics {
        use procfs::{CurrentSI as _, WithCurrentSystemInfo as _, process};

        let Ok(myself) = process::Process::myself() else {
            return ProcessMetrics::default();
        };
        let open_fds = myself.fd_count().ok().map(|fds| fds as u64);
        let max_fds = myself.limits().ok().map(|limits| match limits.max_open_files.soft_limit {
            process::LimitValue::Value(limit) => limit,
            process::LimitValue::Unlimited => u64::MAX,
        });
        let Ok(stat) = myself.stat() else {
            return ProcessMetrics { open_fds, max_fds, ..ProcessMetrics::default() };
        };
        let ticks_per_second = procfs::ticks_per_second() as f64;
        let since_boot = stat.starttime as f64 / ticks_per_second;
        let booted = procfs::KernelStats::current().ok().map(|kernel| kernel.btime as f64);
        ProcessMetrics {
            cpu_seconds: Some((stat.utime + stat.stime) as f64 / ticks_per_second),
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
impl ProcessMetrics {
    pub(crate) fn read() -> ProcessMetrics {
        ProcessMetrics::default()
    }
}
