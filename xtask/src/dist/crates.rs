//! The crates in the programs: what cargo links for the target, without tests, build scripts and macros.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::harness::command::capture;
use crate::harness::programs::{cargo, root};

/// A crate in the programs.
#[derive(Debug)]
pub(crate) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    /// The SPDX expression.
    pub(super) licence: String,
    pub(super) repository: String,
    /// The directory of its sources.
    pub(super) directory: PathBuf,
    /// SHA-256 of its archive, from Cargo.lock. A member of the workspace has none.
    pub(super) checksum: Option<String>,
    /// The crates that it uses, as `NAME@VERSION`.
    pub(super) dependencies: BTreeSet<String>,
}

impl Crate {
    /// Returns `NAME@VERSION`.
    pub(super) fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// Returns the crates in both programs, sorted by name and version.
pub(crate) fn of_programs(target: &str) -> anyhow::Result<Vec<Crate>> {
    let linked = linked(target)?;
    let checksums = checksums(&fs::read_to_string(root().join("Cargo.lock"))?);
    let metadata = ["metadata", "--format-version=1", "--locked", "--filter-platform", target];
    let metadata: Value = serde_json::from_str(&capture(cargo().args(metadata))?.succeeded()?)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();

    // The key is cargo's own identifier, by which the graph refers to a package.
    let mut crates = BTreeMap::new();
    for package in array(&metadata["packages"]) {
        let (name, version) = (text(&package["name"]), text(&package["version"]));
        let id = format!("{name}@{version}");
        if linked.contains(&id) {
            let manifest = text(&package["manifest_path"]);
            let linked = Crate {
                name,
                version,
                // Cargo accepts a slash, SPDX does not.
                licence: text(&package["license"]).replace(" / ", "/").replace('/', " OR "),
                repository: text(&package["repository"]),
                directory: Path::new(&manifest).parent().context("a manifest's path")?.to_owned(),
                checksum: checksums.get(&id).cloned(),
                dependencies: BTreeSet::new(),
            };
            crates.insert(text(&package["id"]), linked);
        }
    }
    let (found, expected) = (crates.len(), linked.len());
    anyhow::ensure!(found == expected, "cargo metadata has {found} crates, cargo tree {expected}");
    for node in array(&metadata["resolve"]["nodes"]) {
        let is_normal = |kind: &Value| kind["kind"].is_null();
        let used = array(&node["deps"]);
        let used = used.iter().filter(|used| array(&used["dep_kinds"]).iter().any(is_normal));
        let used = used.filter_map(|used| Some(crates.get(used["pkg"].as_str()?)?.id()));
        let used = used.collect();
        if let Some(user) = crates.get_mut(&text(&node["id"])) {
            user.dependencies = used;
        }
    }
    let mut crates: Vec<_> = crates.into_values().collect();
    crates.sort_by_key(Crate::id);
    Ok(crates)
}

/// Returns `NAME@VERSION` of what cargo links. Unlike `cargo metadata`, `cargo tree` selects the features of
/// these two packages only.
fn linked(target: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut tree = cargo();
    tree.args(["tree", "--package=greet-server", "--package=greet-cli", "--locked"]);
    tree.args(["--edges=normal,no-proc-macro", "--prefix=none", "--format={p}"]);
    let tree = capture(tree.args(["--target", target]))?.succeeded()?;
    // NAME vVERSION (SOURCE) (*)
    let id = |line: &str| {
        let mut words = line.split(' ');
        Some(format!("{}@{}", words.next()?, words.next()?.strip_prefix('v')?))
    };
    Ok(tree.lines().filter_map(id).collect())
}

/// Returns the checksums of Cargo.lock by `NAME@VERSION`.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let packages = lock.split("[[package]]").skip(1).filter_map(|package| {
        let field = |name: &str| {
            let mut lines = package.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            value.map(|value| value.trim_matches('"').to_owned())
        };
        Some((format!("{}@{}", field("name")?, field("version")?), field("checksum")?))
    });
    packages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_registry_packages_are_found() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"x\"\n\
                    checksum = \"00ff\"\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        let expected = BTreeMap::from([("a@1.0.0".to_owned(), "00ff".to_owned())]);
        assert_eq!(checksums(lock), expected);
    }
}
