//! The files of a release as they lie below a prefix such as `/usr/local`: the tarball unpacks into one, and
//! the Debian package moves a few of them to the places of Debian.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::crates::Crate;
use super::licences;
use super::release::NAME;
use crate::harness::command::{capture, program};
use crate::harness::programs::{Programs, root};
use crate::harness::sources::files;
use crate::reference;

pub(super) const PROGRAMS: &str = "bin";
pub(super) const MAN_PAGES: &str = "share/man/man1";
pub(super) const UNITS: &str = "lib/systemd/system";
/// The folders of completion scripts below `/usr/local/share`, where the shells look.
pub(super) const ZSH_COMPLETIONS: &str = "share/zsh/site-functions";
const BASH_COMPLETIONS: &str = "share/bash-completion/completions";
const FISH_COMPLETIONS: &str = "share/fish/vendor_completions.d";
/// The example of a configuration file, in the folder of the documents.
pub(super) const EXAMPLE: &str = "greet.example.toml";

/// Returns the folder of the documents.
pub(super) fn documents() -> String {
    format!("share/doc/{NAME}")
}

/// Writes all files below `prefix`.
pub(super) fn write(programs: &Programs, crates: &[Crate], prefix: &Path) -> anyhow::Result<()> {
    for (built, name) in [(&programs.server, "greet-server"), (&programs.cli, "greet-cli")] {
        let path = prefix.join(PROGRAMS).join(name);
        copy(built, &path)?;
        capture(program("strip").arg(path))?.succeeded()?;
    }
    let documents = prefix.join(documents());
    write_pages(prefix, &documents)?;
    for unit in files(&["deploy/systemd/*.service", "deploy/systemd/*.socket"])? {
        let name = unit.file_name().context("a unit has a name")?;
        copy(&root().join(&unit), &prefix.join(UNITS).join(name))?;
    }
    for name in ["README.md", "CHANGELOG.md"] {
        copy(&root().join(name), &documents.join(name))?;
    }
    copy(&root().join("deploy").join(EXAMPLE), &documents.join(EXAMPLE))?;
    licences::write(crates, &documents)?;
    // The umask of the user does not decide the modes in a package.
    capture(program("chmod").args(["-R", "u=rwX,go=rX"]).arg(prefix))?.succeeded().map(drop)
}

/// Writes the manual pages and the completion scripts.
fn write_pages(prefix: &Path, documents: &Path) -> anyhow::Result<()> {
    let pages = tempfile::tempdir()?;
    reference::pages(pages.path())?;
    for entry in fs::read_dir(pages.path().join("man"))? {
        let page = entry?.path();
        copy(&page, &prefix.join(MAN_PAGES).join(page.file_name().context("a page has a name")?))?;
    }
    for entry in fs::read_dir(pages.path().join("completions"))? {
        let script = entry?.path();
        let name = script.file_name().and_then(|name| name.to_str()).context("a script's name")?;
        let (program, shell) = name.rsplit_once('.').context("a script's name has an end")?;
        let place = match shell {
            "bash" => prefix.join(BASH_COMPLETIONS).join(program),
            "zsh" => prefix.join(ZSH_COMPLETIONS).join(format!("_{program}")),
            "fish" => prefix.join(FISH_COMPLETIONS).join(name),
            _ => documents.join("completions").join(name), // these shells search no common folder
        };
        copy(&script, &place)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::copy(from, to).with_context(|| format!("could not copy `{}`", from.display()))?;
    Ok(())
}
