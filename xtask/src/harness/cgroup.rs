//! A memory cgroup for one daemon, as Kubernetes creates it for a container with a memory limit.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::command::program;

/// A hierarchy of cgroups, and its files for the limit and the peak.
#[derive(Debug)]
struct Hierarchy {
    root: &'static str,
    limit: &'static str,
    peak: &'static str,
}

/// Versions 2 and 1.
const HIERARCHIES: [Hierarchy; 2] = [
    Hierarchy { root: "/sys/fs/cgroup", limit: "memory.max", peak: "memory.peak" },
    Hierarchy {
        root: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        peak: "memory.max_usage_in_bytes",
    },
];

/// A cgroup that is removed on drop; its processes must have ended.
#[derive(Debug)]
pub(crate) struct MemoryCgroup {
    directory: PathBuf,
    peak: &'static str,
}

impl MemoryCgroup {
    /// Creates a cgroup. Returns `None` if no hierarchy allows it.
    pub(crate) fn create(max_bytes: u64) -> Option<MemoryCgroup> {
        HIERARCHIES.iter().find_map(|Hierarchy { root, limit, peak }| {
            let directory = Path::new(root).join(format!("greet-e2e-{}", std::process::id()));
            fs::create_dir(&directory).ok()?;
            let cgroup = MemoryCgroup { directory, peak };
            // Without the controller the file is missing, and must not be created.
            let mut limit = File::options().write(true).open(cgroup.directory.join(limit)).ok()?;
            limit.write_all(max_bytes.to_string().as_bytes()).ok()?;
            Some(cgroup)
        })
    }

    /// Returns a command that runs `path` in the cgroup.
    pub(crate) fn command(&self, path: &Path) -> Command {
        let mut shell = program("sh");
        shell.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]);
        shell.arg(&self.directory).arg(path);
        shell
    }

    /// Returns the maximum of the memory in use, page cache included.
    pub(crate) fn peak_bytes(&self) -> anyhow::Result<u64> {
        let file = self.directory.join(self.peak);
        let peak = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(peak.trim().parse()?)
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory); // fails while a process is in it
    }
}
