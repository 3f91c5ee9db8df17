//! The tarball for every system, and for cargo-binstall. The order, the owners and the times of its entries
//! do not depend on the machine, so the same programs give the same bytes.

use std::path::Path;

use super::release::Release;
use crate::harness::command::{capture, program};
use crate::harness::report::Missing;

/// Writes `NAME-VERSION-TARGET.tar.gz` with the files of `tree`.
pub(super) fn write(release: &Release, tree: &Path, directory: &Path) -> anyhow::Result<()> {
    let stem = release.stem();
    let mut tar = program(gnu_tar()?);
    tar.args(["--create", "--format=ustar", "--sort=name", "--numeric-owner"]);
    tar.args(["--owner=0", "--group=0", "--use-compress-program=gzip -9 -n"]);
    tar.arg(format!("--mtime=@{}", release.epoch)).arg(format!("--transform=s,^[.],{stem},"));
    tar.arg("--file").arg(directory.join(format!("{stem}.tar.gz")));
    capture(tar.arg("--directory").arg(tree).arg("."))?.succeeded().map(drop)
}

/// Returns the name of GNU tar: the tar of macOS cannot sort.
fn gnu_tar() -> anyhow::Result<&'static str> {
    let is_gnu = |name: &&str| {
        let version = capture(program(name).arg("--version"));
        version.is_ok_and(|version| version.stdout.contains("GNU tar"))
    };
    let missing = || Missing { what: "GNU tar", install: "brew install gnu-tar".to_owned() }.into();
    ["tar", "gtar"].into_iter().find(is_gnu).ok_or_else(missing)
}
