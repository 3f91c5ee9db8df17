//! The profile-guided build: instrumented programs are trained with load, then rustc optimises for the
//! paths that the load took. The profile is generated and never committed, because it fits only the
//! sources that it was made from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use greet_testkit::certs::Ca;

use super::command::{capture, program, progress, works};
use super::daemon::Daemon;
use super::programs::{
    Linking, Programs, RUSTFLAGS, build_release, build_with, root, rustc_field, target_directory,
};
use super::report::Missing;
use super::sample;

/// A load of the training: connections, concurrent calls on each, length of the name, TLS.
///
/// Each stands for a path of its own: a turn with one call on one or on many connections, batches of
/// two sizes, replies that HTTP/2 does not copy into its write buffer, and TLS records.
const TRAINING: [(u32, u32, usize, bool); 6] = [
    (1, 1, 3, false),
    (100, 1, 3, false),
    (10, 10, 3, false),
    (50, 20, 3, false),
    (10, 10, 1_024, false),
    (10, 10, 3, true),
];
/// Equal for all, so that no load decides alone; a second each, with counters in the code.
const CALLS_PER_LOAD: u32 = 20_000;
/// One-shot runs of the client. Its start must count as warm beside the calls of its load tests.
const ONE_SHOTS: u32 = 200;
/// Targets that the instrumented code remembers per indirect call; the default of LLVM is too small for
/// greet-server and makes it print warnings.
const INDIRECT_TARGETS: u32 = 8;
/// The directories of the optimised programs.
const OPTIMIZED: &str = "optimized";
const OPTIMIZED_STATIC: &str = "optimized-static";

/// Builds both programs with a profile if llvm-profdata is installed, otherwise without one.
pub(crate) fn build_if_available(linking: Linking) -> anyhow::Result<Programs> {
    match build(linking) {
        Err(error) if error.is::<Missing>() => {
            progress(format_args!("building without a profile: {error}"));
            build_release(linking)
        }
        built => built,
    }
}

/// Builds both programs, and trains them if they have changed. The error is `Missing` without
/// llvm-profdata.
pub(crate) fn build(linking: Linking) -> anyhow::Result<Programs> {
    let llvm_profdata = llvm_profdata()?;
    let directory = target_directory()?.join("guided");
    let (counts, profile) = (directory.join("counts"), directory.join("merged.profdata"));
    let generate = format!(
        "{RUSTFLAGS} -Cprofile-generate={} -Cllvm-args=-vp-counters-per-site={INDIRECT_TARGETS}",
        counts.display()
    );
    let instrumented = build_with(&generate, Linking::Dynamic, &directory.join("instrumented"))?;
    // The profile fits programs of either linking.
    let optimized = directory.join(match linking {
        Linking::Dynamic => OPTIMIZED,
        Linking::Static => OPTIMIZED_STATIC,
    });
    let built = modified(&instrumented.server)?.max(modified(&instrumented.cli)?);
    if !modified(&profile).is_ok_and(|trained| trained > built) {
        remove(&counts)?;
        train(&instrumented)?;
        let files = fs::read_dir(&counts).context("the training wrote no counts")?.count();
        anyhow::ensure!(files == 2, "the training wrote counts of {files} programs, not of two");
        for optimized in [OPTIMIZED, OPTIMIZED_STATIC] {
            remove(&directory.join(optimized))?; // cargo does not see that the profile has changed
        }
        let mut merge = program(llvm_profdata);
        merge.args(["merge", "--output"]).arg(&profile).arg(&counts);
        capture(&mut merge)?.succeeded()?;
    }
    build_with(&format!("{RUSTFLAGS} -Cprofile-use={}", profile.display()), linking, &optimized)
}

/// Returns the llvm-profdata of rustc's version of LLVM: others reject its counts.
fn llvm_profdata() -> anyhow::Result<PathBuf> {
    let version = rustc_field("LLVM version")?;
    let llvm = version.split('.').next().unwrap_or_default();
    let mut rustc = program("rustc");
    rustc.current_dir(root()).arg("--print=target-libdir");
    let libraries = capture(&mut rustc)?.succeeded()?;
    let candidates = [
        Path::new(libraries.trim()).with_file_name("bin").join("llvm-profdata"),
        PathBuf::from(format!("llvm-profdata-{llvm}")),
    ];
    let found = candidates.into_iter().find(|path| works(program(path).arg("--version")));
    found.ok_or_else(|| {
        let install =
            format!("sudo apt-get install --yes llvm-{llvm} (or: rustup component add llvm-tools)");
        Missing { what: "llvm-profdata of rustc's LLVM", install }.into()
    })
}

/// Runs the load. Both programs write their counts when they end by themselves.
fn train(programs: &Programs) -> anyhow::Result<()> {
    let certs = Ca::new("training");
    let [cert, key] = certs.sign_files("server").server_flags();
    let ca = format!("--ca-cert={}", certs.ca_file().display());
    // Counters are not atomic, so threads that count at the same time would lose counts.
    let start = |flags: &[&str]| {
        Daemon::start(programs, &[&["--listen=127.0.0.1:0", "--workers=1"], flags].concat())
    };
    let (plain, tls) = (start(&[])?, start(&[&cert, &key])?);
    for (connections, streams, name_bytes, is_tls) in TRAINING {
        progress(format_args!(
            "training with {connections}x{streams}, {name_bytes} B, TLS {is_tls}"
        ));
        let mut load = if is_tls {
            programs.client(&tls.target, &[&ca])
        } else {
            programs.client(&plain.target, &[])
        };
        load.args(sample::load(&"x".repeat(name_bytes)));
        load.args(["--threads=1", "--fail-if=errors>0"]);
        load.arg(format!("--count={CALLS_PER_LOAD}")).arg(format!("--connections={connections}"));
        load.arg(format!("--concurrency={}", connections * streams));
        capture(&mut load)?.succeeded()?;
    }
    for _ in 0..ONE_SHOTS {
        capture(&mut programs.call(&plain.target, "Ada"))?.succeeded()?;
    }
    for server in [plain, tls] {
        server.stop_cleanly()?;
    }
    Ok(())
}

fn modified(file: &Path) -> anyhow::Result<SystemTime> {
    Ok(fs::metadata(file)?.modified()?)
}

fn remove(directory: &Path) -> anyhow::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .with_context(|| format!("could not remove {}", directory.display()))?;
    }
    Ok(())
}
