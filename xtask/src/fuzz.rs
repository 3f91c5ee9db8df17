//! `cargo xtask fuzz`: runs the fuzz targets of `xtask/fuzz` with cargo-fuzz, on the toolchain of the workspace.
//!
//! Without a sanitizer, libFuzzer needs no nightly toolchain. The address sanitizer finds what unsafe code does
//! wrong, and this workspace has none.

use std::fs;

use anyhow::{Context as _, ensure};

use crate::harness::command::{program, progress, show, works};
use crate::harness::programs::{cargo, root, target_directory};
use crate::harness::report::Missing;

/// The package with the targets.
const FUZZ: &str = "xtask/fuzz";
/// Long enough for every branch of a small parser.
const DEFAULT_SECONDS: u32 = 60;
/// Longer than what the daemon holds of a connection before it is HTTP/2, and the head of an HTTP/1.1 request.
const MAX_INPUT_BYTES: u32 = 20_000;

/// Which targets to run, and how long
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Target, a function of `fuzzing` in greet-server or greet-cli; all in turn if it is absent
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = DEFAULT_SECONDS)]
    seconds: u32,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !works(program("cargo-fuzz").arg("--version")) {
        let install = "cargo install cargo-fuzz --locked".to_owned();
        return Err(Missing { what: "cargo-fuzz", install }.into());
    }
    let targets = targets()?;
    let selected: Vec<_> = match &args.target {
        Some(target) => {
            ensure!(targets.contains(target), "{target} is none of {}", targets.join(", "));
            vec![target]
        }
        None => targets.iter().collect(),
    };
    let run = |target: &&String| fuzz(target, args.seconds).err();
    let failures: Vec<_> = selected.iter().filter_map(run).collect();
    for error in &failures {
        progress(format_args!("{error:#}"));
    }
    ensure!(failures.is_empty(), "{} of {} targets failed", failures.len(), selected.len());
    Ok(())
}

// <greeter>
/// Checks that the targets compile. libFuzzer is left out: only a build needs it, and a C++ compiler.
pub(crate) fn check() -> anyhow::Result<String> {
    let mut check = cargo();
    check.env("CUSTOM_LIBFUZZER_PATH", root().join(FUZZ).join("libfuzzer.a"));
    check.env("RUSTFLAGS", "--cfg fuzzing"); // as cargo-fuzz sets it
    check.args(["check", "--quiet", "--locked", "--manifest-path"]);
    check.arg(root().join(FUZZ).join("Cargo.toml"));
    check.arg("--target-dir").arg(target_directory()?.join("fuzz"));
    let status = check.status().with_context(|| format!("could not start {}", show(&check)))?;
    ensure!(status.success(), "{}: {status}", show(&check));
    Ok(String::new())
}
// </greeter>

/// Returns the targets in alphabetical order.
fn targets() -> anyhow::Result<Vec<String>> {
    let directory = root().join(FUZZ).join("src/bin");
    let files = fs::read_dir(&directory).context("could not list the fuzz targets")?;
    let name = |file: fs::DirEntry| file.path().file_stem()?.to_str().map(str::to_owned);
    let mut targets: Vec<_> = files.filter_map(|file| name(file.ok()?)).collect();
    targets.sort();
    Ok(targets)
}

/// Runs a target, which starts with its committed corpus. The inputs that it finds interesting lie in the target
/// directory, so that the next run continues with them.
fn fuzz(target: &str, seconds: u32) -> anyhow::Result<()> {
    let output = target_directory()?.join("fuzz");
    let (found, committed) = (output.join("corpus").join(target), root().join(FUZZ).join("corpus"));
    fs::create_dir_all(&found)?;
    let mut fuzz = cargo();
    fuzz.args(["fuzz", "run", "--fuzz-dir", FUZZ, "--sanitizer", "none", "--target-dir"]);
    fuzz.arg(&output).arg(target).args([found, committed.join(target)]);
    fuzz.arg("--").args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_INPUT_BYTES}"),
        "-verbosity=0".to_owned(),
        "-print_funcs=0".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]);
    progress(format_args!("fuzzing {target} for {seconds} s"));
    let status = fuzz.status().with_context(|| format!("could not start {}", show(&fuzz)))?;
    ensure!(
        status.success(),
        "{target} fails for the input above: repair it, and add the input to {FUZZ}/corpus/{target}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn property_of_every_target_runs_in_the_tests_of_its_crate() {
        let source = |path: &str| fs::read_to_string(root().join(path)).unwrap();
        let crates = ["greet-server/src/fuzzing.rs", "greet-cli/src/fuzzing.rs"].map(source);
        let targets = targets().unwrap();
        assert!(!targets.is_empty());
        for target in targets {
            let call = format!("check(\"{target}\", {target});");
            assert!(crates.iter().any(|text| text.contains(&call)), "no test has {call}");
        }
    }
}
