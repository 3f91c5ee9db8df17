//! Another workspace: a copy of this one, or one that was made from it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use super::command::{capture, program, show};
use super::programs::{cargo, root, target_directory};
use super::sources::files;

/// A workspace other than this one.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) directory: PathBuf,
}

impl Workspace {
    /// Copies this workspace to a directory that does not exist, and commits the copy.
    pub(crate) fn copy_to(directory: PathBuf) -> anyhow::Result<Workspace> {
        for path in files(&[])? {
            let copy = directory.join(&path);
            fs::create_dir_all(copy.parent().unwrap_or(&directory))?;
            fs::copy(root().join(&path), copy)?;
        }
        let workspace = Workspace { directory };
        workspace.git(&["init", "--quiet"])?;
        workspace.commit()?;
        Ok(workspace)
    }

    /// Commits all files, so that the next change can be counted.
    pub(crate) fn commit(&self) -> anyhow::Result<()> {
        self.git(&["add", "--all"])?;
        let identity = ["-c", "user.name=e2e", "-c", "user.email=e2e@localhost"];
        let commit = ["commit", "--quiet", "--no-gpg-sign", "--message", "Change"];
        self.git(&[&identity[..], &commit].concat()).map(drop)
    }

    /// Runs git and returns its output.
    pub(crate) fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        capture(program("git").current_dir(&self.directory).args(arguments))?.succeeded()
    }

    /// Runs cargo, whose output goes to standard error. What this workspace has built is used again, and
    /// its programs stay as they are.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.cargo_command(arguments)?;
        command.stdout(std::io::stderr());
        let status = command.status().context("could not start cargo")?;
        anyhow::ensure!(status.success(), "{} in a copy: {status}", show(&command));
        Ok(())
    }

    pub(crate) fn cargo_command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = cargo();
        command.current_dir(&self.directory).args(arguments);
        command.env("CARGO_BUILD_BUILD_DIR", target_directory()?).env_remove("CARGO_TARGET_DIR");
        Ok(command)
    }

    /// Returns a program of the debug build.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let path = self.directory.join("target/debug").join(name);
        path.with_extension(std::env::consts::EXE_EXTENSION)
    }
}
