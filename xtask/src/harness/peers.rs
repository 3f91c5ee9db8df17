//! Servers on other gRPC libraries, for comparison: their commands without an address, and versions.

use std::fs;
use std::process::Command;

use anyhow::Context as _;

use super::command::{capture, program};
use super::programs::{RUSTFLAGS, release_cargo, root, target_directory};
use super::stacks;

/// Builds a server on tonic, an example of greet-server.
pub(crate) fn tonic(example: &str) -> anyhow::Result<Command> {
    let mut build = release_cargo(RUSTFLAGS)?;
    build.args(["build", "--release", "--locked", "-p", "greet-server", "--example", example]);
    anyhow::ensure!(build.status()?.success(), "could not build the example {example}");
    Ok(program(target_directory()?.join("release/examples").join(example)))
}

/// Builds the server on grpc-go.
pub(crate) fn go() -> anyhow::Result<Command> {
    stacks::go("peers", "server")
}

/// Builds the server on gRPC C++.
pub(crate) fn cpp() -> anyhow::Result<Command> {
    stacks::cpp("peers", "server")
}

pub(crate) fn go_version() -> anyhow::Result<String> {
    debian_version("golang-google-grpc-dev")
}

pub(crate) fn cpp_version() -> anyhow::Result<String> {
    debian_version("libgrpc++-dev")
}

/// Returns the version of an installed package.
pub(crate) fn debian_version(package: &str) -> anyhow::Result<String> {
    let query = ["--show", "--showformat=${Version} (Debian)", package];
    capture(program("dpkg-query").args(query))?.succeeded()
}

/// Returns the version of a crate in a lock file.
pub(crate) fn locked_version(file: &str, name: &str) -> anyhow::Result<String> {
    let lock = fs::read_to_string(root().join(file))?;
    let (_, rest) =
        lock.split_once(&format!("name = \"{name}\"\nversion = \"")).context("locked")?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}
