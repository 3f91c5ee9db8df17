//! The memory that the process may use, from which the default of `--memory-limit` follows.

use bytesize::ByteSize;

/// The cost of a connection: its HTTP/2 state and read buffer, and the task. Measured by the benchmark.
pub(crate) const CONNECTION_BYTES: usize = 17 * 1_024;
/// What TLS adds to [`CONNECTION_BYTES`]: 9 KiB, and a record of 16 KiB that has not arrived as a whole.
pub(crate) const TLS_BYTES: usize = 24 * 1_024;

/// Less would close honest clients: a connection takes 174 KiB after a burst of 200 calls.
pub(super) const MIN_LIMIT: ByteSize = ByteSize::mib(8);
/// Ten thousand connections, each after a burst of 200 calls; a larger machine needs no more.
const MAX_DEFAULT_LIMIT: ByteSize = ByteSize::gib(2);
/// The default where the memory of the machine is unknown.
const FALLBACK_LIMIT: ByteSize = ByteSize::gib(1);
/// The memory of the process without peers.
const PROCESS_BYTES: u64 = 24 * 1_024 * 1_024;
/// What the allocator and bytes that are not counted need in addition, as a divisor of the limit. Attacks
/// of the test suite need a quarter, bursts on thousands of connections up to half.
const ALLOCATOR_PART: u64 = 2;

/// Returns half of the memory that the process may use, at most 2 GiB: the other half is for the
/// allocator, the program and the kernel's buffers of sockets, which a cgroup counts as well.
pub(super) fn default_limit() -> ByteSize {
    let available = cgroup_limit().into_iter().chain(machine_memory()).min();
    let half = available.map(|available| ByteSize(available.as_u64() / 2));
    half.map_or(FALLBACK_LIMIT, |half| half.clamp(MIN_LIMIT, MAX_DEFAULT_LIMIT))
}

/// Returns the connections whose cost is at most half of `limit`.
pub(super) fn affordable_connections(limit: ByteSize, is_tls: bool) -> usize {
    let bytes = CONNECTION_BYTES + if is_tls { TLS_BYTES } else { 0 };
    usize::try_from(limit.as_u64()).unwrap_or(usize::MAX) / 2 / bytes
}

/// Returns about how much memory the process uses when its peers hold `limit`.
pub(super) fn maximum(limit: ByteSize) -> ByteSize {
    let limit = limit.as_u64();
    ByteSize(limit.saturating_add(limit / ALLOCATOR_PART).saturating_add(PROCESS_BYTES))
}

/// Returns the lowest memory limit of the process's cgroup and those above it; `None` without one.
#[cfg(target_os = "linux")]
pub(super) fn cgroup_limit() -> Option<ByteSize> {
    let cgroups = procfs::process::Process::myself().ok()?.cgroups().ok()?;
    let is_memory = |controllers: &[String]| controllers.iter().any(|name| name == "memory");
    let mut limits = Vec::new();
    for cgroup in cgroups {
        let (root, file) = match cgroup.hierarchy {
            0 => ("/sys/fs/cgroup", "memory.max"),
            _ if is_memory(&cgroup.controllers) => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container without a namespace of its own for cgroups, only the root has the file.
        for path in std::path::Path::new(&cgroup.pathname).ancestors() {
            let path = std::path::Path::new(root).join(path.strip_prefix("/").unwrap_or(path));
            let limit = std::fs::read_to_string(path.join(file)).ok();
            limits.extend(limit.and_then(|limit| limit.trim().parse::<u64>().ok()));
        }
    }
    // Without a limit, version 1 has a number near 2^63, and version 2 has "max".
    limits.into_iter().min().filter(|limit| *limit < 1 << 60).map(ByteSize)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn cgroup_limit() -> Option<ByteSize> {
    None
}

/// Reads sysinfo(2): `ProcSubset=pid` of systemd hides `/proc/meminfo`.
#[cfg(target_os = "linux")]
fn machine_memory() -> Option<ByteSize> {
    let machine = rustix::system::sysinfo();
    Some(ByteSize(machine.totalram.checked_mul(machine.mem_unit.into())?))
}

#[cfg(not(target_os = "linux"))]
fn machine_memory() -> Option<ByteSize> {
    None
}
