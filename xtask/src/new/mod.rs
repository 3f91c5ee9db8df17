//! `cargo xtask new`: writes a workspace for a service of your own, from the files of this one.
//!
//! The new workspace has what surrounds the Greeter here, and in its place a service with one method. A
//! file is copied without the parts that belong to the Greeter (`parts`), or replaced by its template in
//! `xtask/template`; then its names are replaced (`names`). So whatever is built and tested here needs no
//! second copy, and the end-to-end scenario `new` shows that the result works.

mod names;
mod parts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use self::names::Names;
use crate::harness::command::{program, progress, show};
use crate::harness::programs::{cargo, root};
use crate::harness::sources::files;

/// The folder with the files that are other ones in a new workspace.
const TEMPLATES: &str = "xtask/template";

/// Name, place and service of the new workspace
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the product, such as orders: it gets the crates orders-server and orders-cli
    name: String,
    /// Directory to write to; it must be empty or not exist
    #[arg(long, value_name = "PATH")]
    dir: PathBuf,
    /// Package of the service [default: NAME.v1]
    #[arg(long)]
    package: Option<String>,
    /// Service [default: NAME, capitalised]
    #[arg(long)]
    service: Option<String>,
    /// Unary method of the service [default: Get and NAME, capitalised]
    #[arg(long)]
    method: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { name, dir, package, service, method } = args;
    let names = Names::new(name, package.as_deref(), service.as_deref(), method.as_deref())?;
    write(&names, dir)?;
    progress(format_args!("wrote {}; next: cd {0} && cargo xtask demo", dir.display()));
    Ok(())
}

fn write(names: &Names, directory: &Path) -> anyhow::Result<()> {
    create_empty(directory)?;
    let directory = directory.canonicalize()?;
    for path in files(&[])? {
        let source = root().join(&path);
        if let Ok(replaced) = path.strip_prefix(TEMPLATES) {
            copy(names, &source, &directory, replaced)?;
        } else if !parts::is_left_out(&path) && !root().join(TEMPLATES).join(&path).exists() {
            copy(names, &source, &directory, &path)?;
        }
    }
    let run = |command: &mut Command, arguments: &[&str]| {
        let status = command.current_dir(&directory).args(arguments).status();
        let status = status.with_context(|| format!("could not start {}", show(command)))?;
        ensure!(status.success(), "{} in `{}`: {status}", show(command), directory.display());
        anyhow::Ok(())
    };
    // The new names have other lengths and another order.
    run(&mut cargo(), &["fmt", "--all"])?;
    run(&mut cargo(), &["update", "--workspace", "--offline", "--quiet"])?;
    run(&mut program("git"), &["init", "--quiet", "--initial-branch=main"])?;
    run(&mut program("git"), &["add", "--all"])?;
    progress(format_args!("compiling it for the tables of its documents"));
    run(&mut cargo(), &["xtask", "docs"])?;
    run(&mut program("git"), &["add", "--all"])
}

fn create_empty(directory: &Path) -> anyhow::Result<()> {
    let name = directory.display();
    fs::create_dir_all(directory).with_context(|| format!("--dir: could not create `{name}`"))?;
    let mut entries =
        fs::read_dir(directory).with_context(|| format!("--dir: could not read `{name}`"))?;
    ensure!(entries.next().is_none(), "--dir: `{name}` is not empty");
    Ok(())
}

/// Writes the file at `source` as `path` of this workspace is called in the new one.
fn copy(names: &Names, source: &Path, directory: &Path, path: &Path) -> anyhow::Result<()> {
    let renamed = path.to_str().with_context(|| format!("`{}` is not UTF-8", path.display()))?;
    let target = directory.join(names.rename(renamed));
    fs::create_dir_all(target.parent().unwrap_or(directory))?;
    fs::copy(source, &target)?; // with its permissions
    let Ok(text) = fs::read_to_string(source) else { return Ok(()) }; // an image
    let in_file = || path.display().to_string();
    let mut text = parts::without_marked(&text).with_context(in_file)?;
    if path.extension().is_some_and(|extension| extension == "md") {
        text = names.rewrite_document(&text);
    }
    fs::write(&target, names.rename(&text)).with_context(in_file)
}
