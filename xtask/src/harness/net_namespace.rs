//! A network namespace with addresses of its own, so that a scenario does not depend on those of the
//! machine.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::command::{program, read_all, within, works};
use super::report::Missing;

const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// A namespace that exists while a process of it runs.
#[derive(Debug)]
pub(crate) struct NetNamespace {
    holder: Child,
}

impl NetNamespace {
    /// Creates a namespace with a user namespace around it, which needs no root, and runs `setup` in it.
    pub(crate) fn new(setup: &str) -> anyhow::Result<NetNamespace> {
        let unshare = || {
            let mut unshare = program("unshare");
            unshare.args(["--map-root-user", "--net"]);
            unshare
        };
        if !works(unshare().args(["ip", "link"])) {
            let (what, install) = (
                "ip, or the permission to create a network namespace",
                "sudo apt-get install --yes iproute2, or run as root",
            );
            return Err(Missing { what, install: install.to_owned() }.into());
        }
        let mut shell = unshare();
        shell.args(["sh", "-c", &format!("set -e; {setup}; echo ready; exec cat")]);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let holder = shell.spawn().context("could not start unshare")?;
        let mut namespace = NetNamespace { holder };
        let stdout = namespace.holder.stdout.take().context("standard output is piped")?;
        let stderr = read_all(namespace.holder.stderr.take().context("standard error is piped")?);
        let mut line = String::new();
        let id = namespace.holder.id();
        within(id, SETUP_TIMEOUT, || BufReader::new(stdout).read_line(&mut line))?;
        if line != "ready\n" {
            bail!("{setup}: {}", stderr.join().unwrap_or_default());
        }
        Ok(namespace)
    }

    /// Returns a command that runs `path` in the namespace.
    pub(crate) fn command(&self, path: &Path) -> Command {
        let mut nsenter = program("nsenter");
        nsenter.args(["--user", "--net", "--preserve-credentials", "--target"]);
        nsenter.arg(self.holder.id().to_string()).arg(path);
        nsenter
    }
}

impl Drop for NetNamespace {
    fn drop(&mut self) {
        let _ = self.holder.kill(); // it may have ended already
        let _ = self.holder.wait();
    }
}
