//! `cargo xtask ci`: every check of a change, the cheapest first; `cargo xtask check`: the quick ones.

use std::process::Command;

use anyhow::Context as _;

use crate::harness::command::{capture, print, program, show, works};
use crate::harness::programs::{self, cargo, root};
use crate::harness::report::{Missing, Report};
use crate::harness::{sample, tools};
use crate::{e2e, reference, tidy};

const CONTAINERFILES: [&str; 2] =
    ["deploy/container/Containerfile", "deploy/container/Containerfile.build"];
const SHELL_SCRIPTS: [&str; 1] = [".ci/run"];

/// How strictly to check
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail if a tool is not installed, instead of skipping the check
    #[arg(long)]
    require_all: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut report = Report::default();
    report.check("format", format);
    report.check("house rules", tidy::check);
    report.check("lints", lints);
    report.check("lints without default features", || {
        run_cargo(
            "clippy -p greet-server --no-default-features --locked --quiet -- --deny warnings",
        )
    });
    report.check("lints of xtask without docs", || {
        run_cargo("clippy -p xtask --all-targets --locked --quiet -- --deny warnings")
    });
    // <greeter>
    report.check("fuzz targets", crate::fuzz::check); // a new workspace has no lock file for them yet
    // </greeter>
    report.check("rustdoc", || {
        let doc = "doc --workspace --features xtask/docs --no-deps --locked --quiet \
                   --document-private-items";
        run_shown(cargo().args(doc.split(' ')).env("RUSTDOCFLAGS", "-D warnings"))
    });
    report.check("tests", || {
        let mut tests = cargo();
        if args.require_all {
            tests.env("REQUIRE_ALL_TESTS", "1"); // a test that cannot run fails
        }
        run_shown(tests.args(["test", "--workspace", "--features", "xtask/docs", "--locked"]))
    });
    report.check("licences, bans, sources", deny);
    report.check("workflows", workflows);
    report.check("Containerfiles", containerfiles);
    report.check("shell scripts", shell_scripts);
    report.check("documents", documents);
    report.check("demo", demo);
    let programs = programs::build(false)?;
    e2e::check(&mut report, &programs, "");
    report.conclude("cargo xtask e2e --only NAME, or the command above", args.require_all)
}

/// `cargo xtask check`: the checks that take less than a minute after a build.
pub(crate) fn quick() -> anyhow::Result<()> {
    let mut report = Report::default();
    report.check("format", format);
    report.check("house rules", tidy::check);
    report.check("lints", lints);
    report.check("unit tests", || run_cargo("test --workspace --lib --bins --locked --quiet"));
    report.check("documents", documents);
    report.conclude("the command above", false)
}

fn format() -> anyhow::Result<String> {
    run_cargo("fmt --all --check")
}

/// Checks xtask with its feature: in one graph with the programs, no crate is compiled for it alone.
fn lints() -> anyhow::Result<String> {
    run_cargo(
        "clippy --workspace --all-targets --features xtask/docs --locked --quiet -- --deny warnings",
    )
}

fn documents() -> anyhow::Result<String> {
    reference::check().map(|()| "up to date".to_owned())
}

fn run_cargo(arguments: &str) -> anyhow::Result<String> {
    run_shown(cargo().args(arguments.split(' ')))
}

/// Runs a command without capturing its output.
fn run_shown(command: &mut Command) -> anyhow::Result<String> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("could not start {shown}"))?;
    anyhow::ensure!(status.success(), "{shown}: {status}");
    Ok(String::new())
}

/// Checks all but advisories, which need a database from the network.
fn deny() -> anyhow::Result<String> {
    if !works(program("cargo-deny").arg("--version")) {
        let install = "cargo install cargo-deny --locked".to_owned();
        return Err(Missing { what: "cargo-deny", install }.into());
    }
    run_cargo("deny --locked --log-level error check licenses bans sources")
}

/// Audits the workflows; the audits that need the network are left out.
fn workflows() -> anyhow::Result<String> {
    let zizmor = ["--offline", "--quiet", "--no-progress", ".github"];
    run_shown(tools::checker("zizmor")?.args(zizmor).current_dir(root()))
}

fn containerfiles() -> anyhow::Result<String> {
    run_shown(tools::checker("hadolint")?.args(CONTAINERFILES).current_dir(root()))
}

fn shell_scripts() -> anyhow::Result<String> {
    let mut shellcheck = tools::apt("shellcheck", "--version", "shellcheck")?;
    run_shown(shellcheck.args(SHELL_SCRIPTS).current_dir(root()))
}

/// Runs the first command of README.md.
fn demo() -> anyhow::Result<String> {
    let reply = capture(cargo().args(["xtask", "demo", "--name", "Ada"]))?.succeeded()?;
    anyhow::ensure!(reply == sample::reply("Ada"), "standard output was {reply:?}");
    print(format_args!("{}", reply.trim_end()))?;
    Ok(reply.trim_end().to_owned())
}
