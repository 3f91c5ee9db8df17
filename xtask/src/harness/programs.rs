//! Where things are, and the programs that are checked.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::harness::command::{program, step};

/// Both programs, built.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) server: PathBuf,
    pub(crate) cli: PathBuf,
    /// Where they lie: in front of `PATH` it makes them commands.
    pub(crate) directory: PathBuf,
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Where cargo puts what it builds: this very program lies in it.
pub(crate) fn target_directory() -> anyhow::Result<PathBuf> {
    let ourselves = std::env::current_exe().context("could not find this program")?;
    let target =
        ourselves.ancestors().nth(2).context("this program does not lie in target/debug")?;
    Ok(target.to_owned())
}

/// What `cargo run` tells the program that it runs. A cargo below us must not inherit it: build scripts
/// watch some of these, and would run again each time that they come and go.
const TOLD_BY_CARGO: [&str; 4] = ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_"];

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = program(cargo);
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if TOLD_BY_CARGO.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(variable);
        }
    }
    command.current_dir(root());
    command
}

/// Builds both programs; cargo tells of its progress.
pub(crate) fn build(release: bool) -> anyhow::Result<Programs> {
    step(format_args!("building greet-server and greet-cli"));
    let profile: &[&str] = if release { &["--release"] } else { &[] };
    let mut build = cargo();
    build.args(["build", "--locked", "-p", "greet-server", "-p", "greet-cli"]);
    let status = build.args(profile).status().context("could not start cargo")?;
    anyhow::ensure!(status.success(), "cargo build failed");

    let directory = target_directory()?.join(if release { "release" } else { "debug" });
    let path = |name: &str| directory.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    Ok(Programs { server: path("greet-server"), cli: path("greet-cli"), directory })
}

impl Programs {
    /// `greet-cli --target TARGET ARGUMENTS…`
    pub(crate) fn greet(&self, target: &str, arguments: &[&str]) -> Command {
        let mut command = program(&self.cli);
        command.args(["--target", target]).args(arguments);
        command
    }
}
