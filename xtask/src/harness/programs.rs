//! Paths in the workspace, cargo, and the built programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::command::{program, progress};
use super::sample;

/// Prefixes of the variables that `cargo run` sets. Build scripts watch some of them and would run
/// again whenever an inner cargo inherits them.
const CARGO_VARIABLES: [&str; 4] = ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_"];

/// The flags of `.cargo/config.toml`, which the variable RUSTFLAGS replaces.
const RUSTFLAGS: &str = "-Cllvm-args=-inline-threshold=500";

/// The built programs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) server: PathBuf,
    pub(crate) cli: PathBuf,
    /// The directory of both, for `PATH`.
    pub(crate) directory: PathBuf,
}

impl Programs {
    /// Returns `greet-cli --target TARGET ARGUMENTS…`.
    pub(crate) fn client(&self, target: &str, arguments: &[&str]) -> Command {
        let mut command = program(&self.cli);
        command.args(["--target", target]).args(arguments);
        command
    }

    /// Returns the client's command for the sample call with `text`.
    pub(crate) fn call(&self, target: &str, text: &str) -> Command {
        let mut command = self.client(target, &[]);
        command.args(sample::call(&[text]));
        command
    }
}

/// Builds both programs; cargo prints its progress.
pub(crate) fn build(release: bool) -> anyhow::Result<Programs> {
    let mut build = cargo();
    build.arg("build").args(release.then_some("--release"));
    run(build, target_directory()?.join(if release { "release" } else { "debug" }))
}

/// Builds both programs for release, with flags for rustc, in a target directory of their own.
pub(crate) fn build_with(rustflags: &str, host: &str, target: &Path) -> anyhow::Result<Programs> {
    let users = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut build = cargo();
    // With a target, cargo keeps the flags away from build scripts and macros.
    build.args(["build", "--release", "--target", host, "--target-dir"]).arg(target);
    build.env("RUSTFLAGS", format!("{users} {RUSTFLAGS} {rustflags}"));
    run(build, target.join(host).join("release"))
}

fn run(mut build: Command, directory: PathBuf) -> anyhow::Result<Programs> {
    progress(format_args!("building greet-server and greet-cli in {}", directory.display()));
    build.args(["--locked", "-p", "greet-server", "-p", "greet-cli"]);
    let status = build.status().context("could not start cargo")?;
    anyhow::ensure!(status.success(), "cargo build failed");
    let path = |name: &str| directory.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    Ok(Programs { server: path("greet-server"), cli: path("greet-cli"), directory })
}

/// Returns the cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut command = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if CARGO_VARIABLES.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(variable);
        }
    }
    command.current_dir(root());
    command
}

/// Returns the root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Returns cargo's target directory, which contains this program.
pub(crate) fn target_directory() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("could not find this program")?;
    let target = this.ancestors().nth(2).context("this program does not lie in target/debug")?;
    Ok(target.to_owned())
}
