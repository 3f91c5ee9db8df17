//! `cargo xtask image`: builds the container image with both programs.
//!
//! The programs are linked statically, so the image needs no distribution as its base. Owners, modes and
//! times of all files are fixed: the same commit, programs and CA bundle give the same image id.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::dist::{Release, crates, licences};
use crate::harness::command::{capture, print, program, works};
use crate::harness::container::Podman;
use crate::harness::guided;
use crate::harness::programs::{self, Linking, Programs, root, target_directory};
use crate::harness::report::{Missing, require_linux};

const CONTAINERFILE: &str = "deploy/container/Containerfile";
/// Files of the image that are in git, below the same paths.
const ROOT_FILES: &str = "deploy/container/root";
const PROGRAMS: &str = "usr/local/bin";
const LICENCES: &str = "usr/share/doc/greet";
/// Where the client looks for CA certificates first.
const CA_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// The CA bundles of Debian, Fedora, openSUSE and Alpine.
const CA_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Name of the image
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name and tag of the image
    #[arg(long, value_name = "NAME:TAG", default_value = concat!("greet:", env!("CARGO_PKG_VERSION")))]
    tag: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    require_linux()?;
    let engine = engine()?;
    let programs = guided::build_if_available(Linking::Static)?;
    let id = build(engine, &programs, &args.tag)?;
    print(format_args!("{}: {id}", args.tag))
}

/// Builds the image in the storage of the scenarios, and returns its id. The programs have no profile, which
/// would take minutes to make.
pub(crate) fn build_for_tests(podman: &Podman) -> anyhow::Result<String> {
    let programs = programs::build_release(Linking::Static)?;
    build(podman.command(), &programs, "greet:e2e")
}

/// Returns the first program that can build an image.
fn engine() -> anyhow::Result<Command> {
    let engines = ["podman", "docker", "buildah"];
    let found = engines.into_iter().find(|engine| works(program(engine).arg("info")));
    found.map(program).ok_or_else(|| {
        let what = "podman, docker or buildah, or the permission to use it";
        Missing { what, install: "sudo apt-get install --yes podman".to_owned() }.into()
    })
}

/// Builds the image, and returns its id. Its time is that of the commit: the time of the build would differ
/// from one to the next.
fn build(mut engine: Command, programs: &Programs, tag: &str) -> anyhow::Result<String> {
    let release = Release::of_this_commit()?;
    let context = stage(programs, &release)?;
    if engine.get_program() == "docker" {
        engine.env("SOURCE_DATE_EPOCH", &release.epoch);
        engine.args(["build", "--quiet"]);
    } else {
        // A cached layer would bring the time of the commit that it was built from.
        engine.args(["build", "--quiet", "--layers=false", "--timestamp", &release.epoch]);
    }
    for (name, value) in [
        ("VERSION", release.version),
        ("REVISION", &programs::revision().unwrap_or_default()),
        ("CREATED", &release.timestamp),
        ("SOURCE", release.repository),
    ] {
        engine.arg(format!("--build-arg={name}={value}"));
    }
    engine.args(["--tag", tag, "--file"]).arg(root().join(CONTAINERFILE)).arg(context);
    Ok(capture(&mut engine)?.succeeded()?.trim().to_owned())
}

/// Writes the root file system of the image.
fn stage(programs: &Programs, release: &Release) -> anyhow::Result<PathBuf> {
    let staged = target_directory()?.join("image");
    if staged.exists() {
        fs::remove_dir_all(&staged)?;
    }
    for program in [&programs.server, &programs.cli] {
        let name = program.file_name().expect("a program has a name");
        install(&["--mode=755", "--strip"], program, &staged.join(PROGRAMS).join(name))?;
    }
    let bundle = CA_BUNDLES.into_iter().find(|bundle| Path::new(bundle).is_file());
    let bundle = bundle.ok_or_else(|| Missing {
        what: "a bundle of CA certificates",
        install: "sudo apt-get install --yes ca-certificates".to_owned(),
    })?;
    install_file(Path::new(bundle), &staged.join(CA_BUNDLE))?;
    for file in ["etc/group", "etc/nsswitch.conf", "etc/passwd"] {
        install_file(&root().join(ROOT_FILES).join(file), &staged.join(file))?;
    }
    let licences = staged.join(LICENCES);
    fs::create_dir_all(&licences)?;
    licences::write(&crates::of_programs(&release.target)?, &licences)?;
    // docker keeps the times of the files. The umask of the user does not decide their modes.
    let finish = "gzip -9 -n \"$2\"/THIRD-PARTY* && chmod -R u=rwX,go=rX . \
                  && find . -exec touch --no-dereference --date=\"@$1\" {} +";
    let mut shell = program("sh");
    shell.current_dir(&staged).args(["-ec", finish, "sh", &release.epoch, LICENCES]);
    capture(&mut shell)?.succeeded()?;
    Ok(staged)
}

fn install_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    install(&["--mode=644"], from, to)
}

/// Copies a file with a mode that does not depend on the umask, as those of the directories above it.
fn install(options: &[&str], from: &Path, to: &Path) -> anyhow::Result<()> {
    capture(program("install").arg("-D").args(options).arg(from).arg(to))?.succeeded()?;
    Ok(())
}
