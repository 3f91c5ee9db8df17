//! What identifies a release: the time of the commit from git, the rest from `[workspace.package]`, of which
//! xtask has a copy.

use std::fs;

use anyhow::ensure;

use crate::harness::command::{capture, program};
use crate::harness::programs::{root, rustc_field};

/// The product, as in the names of the files.
pub(super) const NAME: &str = "greet";

/// The version and the origin of the files.
#[derive(Debug)]
pub(crate) struct Release {
    /// The version of the workspace.
    pub(crate) version: &'static str,
    /// The target of the programs, such as `x86_64-unknown-linux-gnu`.
    pub(crate) target: String,
    /// The time of the commit in seconds since 1970: the modification time of every packaged file.
    pub(crate) epoch: String,
    /// The time of the commit as in a Debian changelog (RFC 2822).
    pub(super) date: String,
    /// The time of the commit in UTC (RFC 3339).
    pub(crate) timestamp: String,
    /// `NAME <ADDRESS>`
    pub(super) maintainer: &'static str,
    pub(crate) repository: &'static str,
}

impl Release {
    /// Returns the release of the commit that is checked out, for this machine.
    pub(crate) fn of_this_commit() -> anyhow::Result<Release> {
        let git = |format: &str| {
            let mut git = program("git");
            git.env("TZ", "UTC").current_dir(root());
            git.args(["log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"]);
            let output = capture(git.arg(format!("--format={format}")))?.succeeded()?;
            anyhow::Ok(output.trim().to_owned())
        };
        Ok(Release {
            version: env!("CARGO_PKG_VERSION"),
            target: rustc_field("host")?,
            epoch: git("%ct")?,
            date: git("%cD")?,
            timestamp: git("%cd")?,
            maintainer: env!("CARGO_PKG_AUTHORS"),
            repository: env!("CARGO_PKG_REPOSITORY"),
        })
    }

    /// Returns the start of file names: `NAME-VERSION-TARGET`.
    pub(crate) fn stem(&self) -> String {
        format!("{NAME}-{}-{}", self.version, self.target)
    }

    /// Fails unless `tag` is that of the version, and the changelog has a dated section for it.
    pub(super) fn check_tag(&self, tag: &str) -> anyhow::Result<()> {
        check_tag(tag, self.version, &fs::read_to_string(root().join("CHANGELOG.md"))?)
    }
}

fn check_tag(tag: &str, version: &str, changelog: &str) -> anyhow::Result<()> {
    ensure!(
        tag.strip_prefix('v') == Some(version),
        "the tag is {tag}, but the version in Cargo.toml is {version}"
    );
    let start = format!("## {version} - ");
    ensure!(
        changelog.lines().any(|line| line.starts_with(&start)),
        "CHANGELOG.md has no section `{start}YYYY-MM-DD`"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_needs_its_version_and_its_section() {
        let changelog = "# Changelog\n\n## Unreleased\n\n## 1.2.0 - 2026-01-31\n\n- A change.\n";
        check_tag("v1.2.0", "1.2.0", changelog).unwrap();
        for (tag, version) in [("v1.2.1", "1.2.0"), ("1.2.0", "1.2.0"), ("v1.2.1", "1.2.1")] {
            assert!(check_tag(tag, version, changelog).is_err(), "{tag} {version}");
        }
    }
}
