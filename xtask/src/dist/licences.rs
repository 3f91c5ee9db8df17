//! The licences of the programs and of all crates in them: most demand that a binary comes with their text.
//!
//! The texts are those in the sources of the crates, each once, below the names of the files that contain it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::crates::Crate;
use crate::harness::command::{capture, program};
use crate::harness::programs::root;

/// The starts of the names of files with a licence or a copyright notice, in upper case.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
const RULE: &str =
    "================================================================================\n";

/// The licences of the programs.
pub(super) const OURS: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// Writes the licences of the programs, of the crates and of Rust's standard library into `directory`.
pub(crate) fn write(crates: &[Crate], directory: &Path) -> anyhow::Result<()> {
    for name in OURS {
        fs::copy(root().join(name), directory.join(name))?;
    }
    fs::copy(standard_library()?, directory.join("THIRD-PARTY-RUST.html"))?;
    fs::write(directory.join("THIRD-PARTY"), text(crates)?)?;
    Ok(())
}

/// Returns the text for the file with the licences of others.
fn text(crates: &[Crate]) -> anyhow::Result<String> {
    let foreign: Vec<_> = crates.iter().filter(|owner| owner.checksum.is_some()).collect();
    let mut texts = BTreeMap::new();
    for owner in &foreign {
        for (name, text) in files_of(owner, &foreign)? {
            // The same text is often wrapped or indented in another way.
            let key = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let (_, owners) = texts.entry(key).or_insert_with(|| (text, Vec::new()));
            owners.push(format!("{} {}: {name}", owner.name, owner.version));
        }
    }
    let mut texts: Vec<_> = texts.into_values().collect();
    texts.sort_by(|(_, a), (_, b)| a.cmp(b));

    let mut all =
        "The programs contain these crates. OR is a choice of the licensee.\n\n".to_owned();
    for Crate { name, version, licence, .. } in &foreign {
        all += &format!("{name} {version}: {licence}\n");
    }
    for (text, owners) in texts {
        all += &format!("\n{RULE}{}\n{RULE}\n{}\n", owners.join("\n"), text.trim_end());
    }
    Ok(all)
}

/// Returns the notices of Rust's standard library, which is a part of each program, as HTML.
fn standard_library() -> anyhow::Result<PathBuf> {
    let mut rustc = program("rustc");
    let sysroot = capture(rustc.current_dir(root()).arg("--print=sysroot"))?.succeeded()?;
    let notices = Path::new(sysroot.trim()).join("share/doc/rust/COPYRIGHT-library.html");
    anyhow::ensure!(notices.is_file(), "the toolchain has no `{}`", notices.display());
    Ok(notices)
}

/// Returns the texts of a crate by the names of their files.
fn files_of(owner: &Crate, all: &[&Crate]) -> anyhow::Result<BTreeMap<String, String>> {
    let Crate { name, version, licence, repository, directory, .. } = owner;
    let mut files = files_below(directory, directory)?;
    if files.is_empty() && !repository.is_empty() {
        // A repository with several crates often has its licence in some of them only.
        for sibling in all.iter().filter(|other| other.repository == *repository) {
            files.extend(files_below(&sibling.directory, &sibling.directory)?);
        }
    }
    if files.is_empty() && licence.contains("Apache-2.0") {
        // The same text for all, without the name of an owner.
        let text = fs::read_to_string(root().join("LICENSE-APACHE"))?;
        files.insert("Apache-2.0".to_owned(), text);
    }
    anyhow::ensure!(!files.is_empty(), "{name} {version} has no file with its licence, {licence}");
    Ok(files)
}

fn files_below(directory: &Path, start: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if kind.is_dir() {
            files.extend(files_below(&path, start)?);
        } else if NAMES.iter().any(|known| name.starts_with(known)) && !name.ends_with(".RS") {
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            let name = path.strip_prefix(start).unwrap_or(&path).display().to_string();
            files.insert(name, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(files)
}
