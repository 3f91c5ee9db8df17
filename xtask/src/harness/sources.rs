//! The files of this workspace.

use std::path::PathBuf;

use super::command::{capture, program};
use super::programs::root;

/// Returns the files in git that match `patterns`, as they are in the working tree.
pub(crate) fn files(patterns: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"];
    let files = capture(program("git").current_dir(root()).args(list).args(patterns))?;
    let files = files.succeeded()?;
    let files = files.split_terminator('\0').map(PathBuf::from);
    Ok(files.filter(|file| root().join(file).is_file()).collect())
}
