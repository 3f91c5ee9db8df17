//! A memory cgroup for one daemon, as Kubernetes creates it for a container with a memory limit.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::command::program;

/// A hierarchy of cgroups, and its files for the limit, the peak, and the count of processes that the kernel
/// killed at the limit.
#[derive(Debug)]
struct Hierarchy {
    root: &'static str,
    limit: &'static str,
    peak: &'static str,
    events: &'static str,
}

/// Versions 2 and 1.
const HIERARCHIES: [Hierarchy; 2] = [
    Hierarchy {
        root: "/sys/fs/cgroup",
        limit: "memory.max",
        peak: "memory.peak",
        events: "memory.events",
    },
    Hierarchy {
        root: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        peak: "memory.max_usage_in_bytes",
        events: "memory.oom_control",
    },
];

/// A cgroup that is removed on drop; its processes must have ended.
#[derive(Debug)]
pub(crate) struct MemoryCgroup {
    directory: PathBuf,
    hierarchy: &'static Hierarchy,
}

impl MemoryCgroup {
    /// Creates a cgroup in the first hierarchy that allows it.
    pub(crate) fn create(max_bytes: u64) -> anyhow::Result<MemoryCgroup> {
        let [version_2, version_1] = &HIERARCHIES;
        MemoryCgroup::create_in(version_2, max_bytes).or_else(|error| {
            MemoryCgroup::create_in(version_1, max_bytes).with_context(|| format!("{error:#}"))
        })
    }

    fn create_in(hierarchy: &'static Hierarchy, max_bytes: u64) -> anyhow::Result<MemoryCgroup> {
        let name = format!("greet-xtask-{}", std::process::id());
        let directory = Path::new(hierarchy.root).join(name);
        fs::create_dir(&directory).with_context(|| directory.display().to_string())?;
        let cgroup = MemoryCgroup { directory, hierarchy };
        // Without the controller the file is missing, and must not be created.
        let file = cgroup.directory.join(hierarchy.limit);
        let limit = File::options().write(true).open(&file);
        let written = limit.and_then(|mut limit| limit.write_all(max_bytes.to_string().as_bytes()));
        written.with_context(|| file.display().to_string())?;
        Ok(cgroup)
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
        Ok(self.read(self.hierarchy.peak)?.trim().parse()?)
    }

    /// Returns whether the kernel has killed a process because of the limit.
    pub(crate) fn has_killed(&self) -> anyhow::Result<bool> {
        let events = self.read(self.hierarchy.events)?;
        let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        let count = count.with_context(|| format!("{} has no oom_kill", self.hierarchy.events))?;
        Ok(count != "0")
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let file = self.directory.join(name);
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory); // fails while a process is in it
    }
}
