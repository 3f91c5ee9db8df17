//! Containers of the image: podman runs them with the restrictions of the Kubernetes manifest, and with
//! storage of its own, so that no image or container of the machine is touched.

use std::process::Command;

use anyhow::Context as _;
use tempfile::TempDir;

use super::command::{Captured, capture, program, works};
use super::daemon::{Daemon, Ended};
use super::programs::target_directory;
use super::report::Missing;
use super::tools::APT;

/// Limits that a process without CAP_SYS_RESOURCE may set; the defaults of podman are higher.
const ULIMITS: [&str; 2] = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"];
/// As in the securityContext of the manifest.
const RESTRICTIONS: [&str; 3] =
    ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"];

/// podman with storage of its own, which is removed on drop. Containers must be dropped before.
#[derive(Debug)]
pub(crate) struct Podman {
    storage: TempDir,
    has_runc: bool,
}

/// A running container of the image; it is removed on drop.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    podman: &'a Podman,
    name: String,
    /// The daemon in it: its output and its exit code are those of `podman run`.
    pub(crate) daemon: Daemon,
}

impl Podman {
    pub(crate) fn new() -> anyhow::Result<Podman> {
        let storage = tempfile::tempdir_in(target_directory()?)?;
        // The runtime crun, which podman prefers, refuses machines with both versions of cgroups.
        let has_runc = works(program("runc").arg("--version"));
        let podman = Podman { storage, has_runc };
        if !works(podman.command().arg("info")) {
            let what = "podman, or the permission to run containers";
            return Err(Missing { what, install: format!("{APT} podman runc") }.into());
        }
        Ok(podman)
    }

    /// Returns `podman` with the options for its storage.
    pub(crate) fn command(&self) -> Command {
        let mut podman = program("podman");
        // podman writes a file `oom` into its directory when the kernel kills a container.
        podman.current_dir(self.storage.path());
        for (option, directory) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            podman.arg(option).arg(self.storage.path().join(directory));
        }
        podman.arg("--storage-driver=vfs"); // works on every file system
        podman.arg("--log-level=error"); // its warnings would be among the lines of the container
        if self.has_runc {
            podman.arg("--runtime=runc");
        }
        podman
    }

    /// Returns `podman run OPTIONS` with the restrictions and the network of the host.
    pub(crate) fn run(&self, options: &[&str]) -> Command {
        self.run_in("host", options)
    }

    /// The same in another network: `none` has the loopback interface only.
    pub(crate) fn run_in(&self, network: &str, options: &[&str]) -> Command {
        let mut run = self.command();
        run.args(["run", "--network", network]).args(ULIMITS).args(RESTRICTIONS).args(options);
        run
    }

    /// Starts greet-server on free loopback ports, and waits until it accepts calls. `env` are variables of
    /// the container and `options` those of podman, such as `--memory=512m`.
    pub(crate) fn start(
        &self,
        image: &str,
        name: &str,
        env: &[(String, String)],
        options: &[&str],
    ) -> anyhow::Result<Container<'_>> {
        // The image leaves out the lines with the addresses, which are only known from them.
        let mut run = self.run(&["--name", name, "--env=GREET_NO_ANNOUNCE=false"]);
        run.args(options);
        run.args(env.iter().map(|(variable, value)| format!("--env={variable}={value}")));
        run.arg(image).args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        match Daemon::spawn(&mut run) {
            Ok(daemon) => Ok(Container { podman: self, name: name.to_owned(), daemon }),
            Err(error) => {
                self.remove(name);
                Err(error)
            }
        }
    }

    /// Removes a container, which may run. Without this the container would outlive podman.
    pub(crate) fn remove(&self, name: &str) {
        let _ = capture(self.command().args(["rm", "--force", "--time=0", name])); // or there is none
    }
}

impl Container<'_> {
    /// Runs a program in the container.
    pub(crate) fn exec(&self, arguments: &[&str]) -> anyhow::Result<Captured> {
        capture(self.podman.command().args(["exec", &self.name]).args(arguments))
    }

    /// Returns a field of `podman inspect`, such as `.State.Pid`.
    pub(crate) fn inspect(&self, field: &str) -> anyhow::Result<String> {
        let format = format!("--format={{{{{field}}}}}");
        let inspected = capture(self.podman.command().args(["inspect", &format, &self.name]))?;
        Ok(inspected.succeeded()?.trim().to_owned())
    }

    /// Sends SIGTERM to process 1 and waits for its end.
    pub(crate) fn stop(&mut self) -> anyhow::Result<Ended> {
        // `podman run` passes signals on, but not from its start.
        let kill = ["kill", "--signal=TERM", &self.name];
        capture(self.podman.command().args(kill))?.succeeded()?;
        self.daemon.wait().with_context(|| format!("container {}", self.name))
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.podman.remove(&self.name);
    }
}
