//! Reads the metrics of the process from `/proc`, as Prometheus client libraries do.
//!
//! Only the files of the process are read: a sandbox may hide all others (`ProcSubset=pid` of systemd).

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
        use procfs::{WithCurrentSystemInfo as _, process};

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
        ProcessMetrics {
            cpu_seconds: Some((stat.utime + stat.stime) as f64 / ticks_per_second),
            resident_bytes: Some(stat.rss_bytes().get()),
            virtual_bytes: Some(stat.vsize),
            open_fds,
            max_fds,
            threads: u64::try_from(stat.num_threads).ok(),
            started_seconds: started_seconds(stat.starttime as f64 / ticks_per_second),
        }
    }
}

/// Returns the start of the process, in seconds since 1970, from its start in seconds since boot.
///
/// The first result stays: the start must not move when the system's clock is corrected.
#[cfg(target_os = "linux")]
fn started_seconds(since_boot: f64) -> Option<f64> {
    use std::sync::OnceLock;
    use std::time::{SystemTime, UNIX_EPOCH};

    use rustix::time::{ClockId, clock_gettime};

    static STARTED: OnceLock<Option<f64>> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        let up = clock_gettime(ClockId::Boottime);
        let up = up.tv_sec as f64 + up.tv_nsec as f64 / 1e9;
        Some(now - up + since_boot)
    })
}

#[cfg(not(target_os = "linux"))]
impl ProcessMetrics {
    pub(crate) fn read() -> ProcessMetrics {
        ProcessMetrics::default()
    }
}
