//! The files of a release: the same programs give the same bytes, the programs have no path of this machine,
//! and the bill of materials and the licences name the crates in them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::dist::{self, Release};
use crate::harness::command::{capture, program};
use crate::harness::programs::{self, Linking, Programs, cargo, root};
use crate::harness::tools;

pub(crate) fn run(_: &Programs) -> anyhow::Result<String> {
    let mut validator = tools::checker_script("import cyclonedx", "checkers/validate_sbom.py")?;
    let release = Release::of_this_commit()?;
    let built = programs::build_release(Linking::Dynamic)?;
    let directory = tempfile::tempdir()?;
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
    let write = |directory: &Path| {
        dist::write(&release, &built, directory)?;
        anyhow::Ok(fs::read_to_string(directory.join(dist::SUMS))?)
    };
    let (sums, again) = (write(&first)?, write(&second)?);
    ensure!(sums == again, "two runs differ:\n{sums}{again}");

    let stem = release.stem();
    let mut tar = program("tar");
    tar.arg("--extract").arg("--directory").arg(directory.path());
    capture(tar.arg("--file").arg(first.join(format!("{stem}.tar.gz"))))?.succeeded()?;
    let prefix = directory.path().join(&stem);
    for name in ["greet-server", "greet-cli"] {
        check_paths(&prefix.join("bin").join(name))?;
        check_binstall(&release, name, directory.path())?;
    }
    let sbom = first.join(format!("{stem}.cdx.json"));
    capture(validator.arg(&sbom))?.succeeded()?;
    let licences = fs::read_to_string(prefix.join("share/doc/greet/THIRD-PARTY"))?;
    let components = check_components(&fs::read_to_string(sbom)?, &licences)?;
    let files = sums.lines().count();
    Ok(format!("{files} files, the same twice; {components} components with their licences"))
}

/// Fails if a program contains a directory of this machine.
fn check_paths(path: &Path) -> anyhow::Result<()> {
    let program = fs::read(path)?;
    let mut directories = vec![root().to_owned(), std::env::home_dir().context("a home")?];
    directories.extend(std::env::var_os("CARGO_HOME").map(PathBuf::from));
    for directory in directories {
        let name = format!("{}/", directory.display());
        let is_found = program.windows(name.len()).any(|part| part == name.as_bytes());
        ensure!(!is_found, "{} contains {name}", path.display());
    }
    Ok(())
}

/// Fails unless the metadata for cargo-binstall name the tarball and the program in it.
fn check_binstall(release: &Release, name: &str, directory: &Path) -> anyhow::Result<()> {
    let metadata = ["metadata", "--format-version=1", "--no-deps", "--locked"];
    let metadata: Value = serde_json::from_str(&capture(cargo().args(metadata))?.succeeded()?)?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages.find(|package| package["name"] == name);
    let binstall = &package.context("the workspace has the program")?["metadata"]["binstall"];
    let field = |field: &str| {
        let template = binstall[field].as_str();
        let template = template.with_context(|| format!("{name}: binstall has no {field}"))?;
        let values = [
            ("{ version }", release.version),
            ("{ target }", &release.target),
            ("{ bin }", name),
            ("{ binary-ext }", std::env::consts::EXE_SUFFIX),
        ];
        let expand = |text: String, (name, value)| text.replace(name, value);
        anyhow::Ok(values.into_iter().fold(template.to_owned(), expand))
    };
    let (url, program) = (field("pkg-url")?, directory.join(field("bin-dir")?));
    let tarball = format!("/v{}/{}.tar.gz", release.version, release.stem());
    ensure!(url.starts_with("{ repo }/") && url.ends_with(&tarball), "{name}: {url}");
    ensure!(program.is_file(), "the tarball has no {}", program.display());
    Ok(())
}

/// Fails unless the bill of materials has the programs and no crate of tests and builds, and the licences
/// have each crate of others. Returns the number of components.
fn check_components(sbom: &str, licences: &str) -> anyhow::Result<usize> {
    let sbom: Value = serde_json::from_str(sbom)?;
    let components = sbom["components"].as_array().context("the SBOM has components")?;
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    for name in ["greet-server", "greet-cli", "tokio", "ring", "rust-std"] {
        ensure!(has(name), "the SBOM lacks {name}");
    }
    for name in ["xtask", "rcgen", "prost-build", "clap_derive"] {
        ensure!(!has(name), "the SBOM has {name}, which is in no program");
    }
    for component in components.iter().filter(|component| component["purl"].is_string()) {
        let text = |field: &str| component[field].as_str().context("a component has a name");
        let id = format!("\n{} {}: ", text("name")?, text("version")?);
        // Once in the list at the start, and above each of its texts.
        ensure!(licences.matches(&id).count() > 1, "THIRD-PARTY has no licence of {id}");
    }
    Ok(components.len())
}
