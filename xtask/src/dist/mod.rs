//! `cargo xtask dist`: writes the files of a release into `target/dist`: a tarball, a Debian package, an SBOM
//! and their checksums. The release workflow uploads what this task writes, so a developer's machine gives
//! the same files from the same commit.

pub(crate) mod crates;
pub(crate) mod deb;
pub(crate) mod licences;
mod release;
mod sbom;
mod tarball;
mod tree;

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::harness::command::{capture, print, program, progress, works};
use crate::harness::guided;
use crate::harness::programs::{Linking, Programs, build_release, target_directory};
use crate::harness::report::Missing;

pub(crate) use release::Release;

/// The file with the checksums of all others.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// What to release
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail unless this tag is that of the version, and the changelog has its section
    #[arg(long)]
    tag: Option<String>,
    /// Build without a profile, for the same files on another machine: each profile differs
    #[arg(long)]
    no_profile: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let release = Release::of_this_commit()?;
    if let Some(tag) = &args.tag {
        release.check_tag(tag)?;
    }
    let programs = if args.no_profile {
        build_release(Linking::Dynamic)?
    } else {
        guided::build_if_available(Linking::Dynamic)?
    };
    let directory = target_directory()?.join("dist");
    write(&release, &programs, &directory)?;
    progress(format_args!("written into {}:", directory.display()));
    print(format_args!("{}", fs::read_to_string(directory.join(SUMS))?.trim_end()))
}

/// Writes all files of a release into `directory`, and removes what was there.
pub(crate) fn write(
    release: &Release,
    programs: &Programs,
    directory: &Path,
) -> anyhow::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .with_context(|| format!("could not remove `{}`", directory.display()))?;
    }
    fs::create_dir_all(directory)?;
    let tree = tempfile::tempdir()?;
    let crates = write_tree(release, programs, tree.path())?;
    tarball::write(release, tree.path(), directory)?;
    match deb::write(release, tree.path(), deb::FIRST_REVISION, directory) {
        Err(error) if error.is::<Missing>() => progress(format_args!("no Debian package: {error}")),
        written => written.map(drop)?,
    }
    sbom::write(release, &crates, directory)?;
    write_sums(directory)
}

/// Writes the files to install below `prefix`, and returns the crates in the programs.
pub(crate) fn write_tree(
    release: &Release,
    programs: &Programs,
    prefix: &Path,
) -> anyhow::Result<Vec<crates::Crate>> {
    let crates = crates::of_programs(&release.target)?;
    tree::write(programs, &crates, prefix)?;
    Ok(crates)
}

fn write_sums(directory: &Path) -> anyhow::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name());
    }
    names.sort();
    // macOS has only the script of Perl.
    let mut sums = if works(program("sha256sum").arg("--version")) {
        program("sha256sum")
    } else {
        let mut shasum = program("shasum");
        shasum.args(["--algorithm", "256"]);
        shasum
    };
    let sums = capture(sums.current_dir(directory).args(names))?.succeeded()?;
    fs::write(directory.join(SUMS), sums)?;
    Ok(())
}
