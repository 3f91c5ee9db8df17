//! Paths in the workspace, cargo, and the built programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::command::{capture, program, progress};
use super::sample;

/// Prefixes of the variables that `cargo run` sets. Build scripts watch some of them and would run
/// again whenever an inner cargo inherits them.
const CARGO_VARIABLES: [&str; 4] = ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_"];

/// The flags of `.cargo/config.toml`, which the variables of cargo for flags replace.
pub(crate) const RUSTFLAGS: &str =
    "-Cllvm-args=-inline-threshold=500 -Cllvm-args=-max-store-memcpy=32";

/// How a program finds the C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linking {
    /// At run time. Names of hosts are then resolved as the machine is configured (nsswitch.conf); a static
    /// program could load the modules for that only from its own version of glibc.
    Dynamic,
    /// Built in, so that an image needs no other file. Linux with glibc only.
    Static,
}

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
pub(crate) fn build(is_release: bool) -> anyhow::Result<Programs> {
    if is_release {
        return build_release(Linking::Dynamic);
    }
    build_in(target_directory()?.join("debug"), cargo().arg("build"))
}

/// Builds both programs for release.
pub(crate) fn build_release(linking: Linking) -> anyhow::Result<Programs> {
    match linking {
        Linking::Dynamic => {
            let directory = target_directory()?.join("release");
            build_in(directory, release_cargo(RUSTFLAGS)?.args(["build", "--release"]))
        }
        // In an image size counts: the inlining of RUSTFLAGS costs almost 1 MB in each program.
        Linking::Static => build_with("", linking, &target_directory()?.join("static")),
    }
}

/// Builds both programs for release, with flags for rustc, in a target directory of their own.
pub(crate) fn build_with(
    rustflags: &str,
    linking: Linking,
    target: &Path,
) -> anyhow::Result<Programs> {
    let host = rustc_field("host")?;
    let linked = if linking == Linking::Static { "-Ctarget-feature=+crt-static" } else { "" };
    let mut build = release_cargo(&format!("{rustflags} {linked}"))?;
    // With a target, cargo keeps the flags away from build scripts and macros.
    build.args(["build", "--release", "--target", &host, "--target-dir"]).arg(target);
    build_in(target.join(host).join("release"), &mut build)
}

fn build_in(directory: PathBuf, build: &mut Command) -> anyhow::Result<Programs> {
    progress(format_args!("building greet-server and greet-cli in {}", directory.display()));
    build.args(["--locked", "-p", "greet-server", "-p", "greet-cli"]);
    let status = build.status().context("could not start cargo")?;
    anyhow::ensure!(status.success(), "cargo build failed");
    let path = |name: &str| directory.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    Ok(Programs { server: path("greet-server"), cli: path("greet-cli"), directory })
}

/// Returns cargo with the flags of a release build: those of the user, `rustflags`, and the removal of this
/// machine's paths, so that the same sources give the same programs on another one. The programs print the
/// revision that it sets.
pub(crate) fn release_cargo(rustflags: &str) -> anyhow::Result<Command> {
    let users = std::env::var("RUSTFLAGS").unwrap_or_default();
    let flags = [&users, rustflags].into_iter().flat_map(str::split_whitespace);
    let mut flags: Vec<_> = flags.map(str::to_owned).collect();
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    // Of several prefixes of a path, the last one counts.
    let prefixes = [
        (cargo_home.context("no home directory")?, "/cargo"),
        (root().to_owned(), "/workspace"),
        (target_directory()?, "/workspace/target"),
    ];
    flags.extend(
        prefixes
            .iter()
            .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())),
    );
    let mut cargo = cargo();
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    if let Some(revision) = revision() {
        cargo.env("GREET_REVISION", revision);
    }
    Ok(cargo)
}

/// Returns the first 12 hexadecimal digits of the commit, with `-dirty` if a file differs from it. A copy of
/// the sources without git has no revision.
pub(crate) fn revision() -> Option<String> {
    let mut git = program("git");
    // Without any tag the description is the commit.
    git.current_dir(root()).args(["describe", "--always", "--exclude=*", "--abbrev=12", "--dirty"]);
    Some(capture(&mut git).ok()?.succeeded().ok()?.trim().to_owned())
}

/// Returns a field of `rustc -vV`.
pub(crate) fn rustc_field(name: &str) -> anyhow::Result<String> {
    let version = capture(program("rustc").current_dir(root()).arg("-vV"))?.succeeded()?;
    let value = version.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.map(str::to_owned).with_context(|| format!("rustc -vV prints no {name}"))
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
