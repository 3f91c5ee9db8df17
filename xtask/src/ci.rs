//! `cargo xtask ci`: everything that must hold before a change is taken, in the order in which it
//! is cheapest to fail.

use std::process::Command;

use anyhow::Context as _;

use crate::harness::command::{program, result, run as run_command, show, works};
use crate::harness::programs::{self, cargo};
use crate::harness::report::{Missing, Report};
use crate::{e2e, reference, tidy};

/// How strict to be
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail where something is missing on this machine, instead of skipping it
    #[arg(long)]
    require_all: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut results = Report::default();
    results.check("format", || shown(cargo().args(["fmt", "--all", "--check"])));
    results.check("house rules", tidy::check);
    results.check("lints", || {
        let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--quiet"];
        shown(cargo().args(clippy).args(["--", "--deny", "warnings"]))
    });
    results.check("lints without default features", || {
        let clippy =
            ["clippy", "-p", "greet-server", "--no-default-features", "--locked", "--quiet"];
        shown(cargo().args(clippy).args(["--", "--deny", "warnings"]))
    });
    results.check("rustdoc", || {
        let doc = ["doc", "--workspace", "--no-deps", "--locked", "--quiet"];
        shown(cargo().args(doc).arg("--document-private-items").env("RUSTDOCFLAGS", "-D warnings"))
    });
    results.check("tests", || {
        let mut tests = cargo();
        if args.require_all {
            tests.env("REQUIRE_ALL_TESTS", "1"); // a test that cannot run fails
        }
        shown(tests.args(["test", "--workspace", "--locked"]))
    });
    results.check("licences, bans, sources", deny);
    results.check("documents", || reference::check().map(|()| "up to date".to_owned()));
    results.check("demo", demo);
    let programs = programs::build(false)?;
    e2e::check_all(&mut results, &programs);
    results.conclude("cargo xtask e2e --only NAME, or the command above", args.require_all)
}

/// Runs with its output where the reader sees it.
fn shown(command: &mut Command) -> anyhow::Result<String> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("could not start {shown}"))?;
    anyhow::ensure!(status.success(), "{shown}: {status}");
    Ok(String::new())
}

/// Advisories need a database from the network; the other three checks need none.
fn deny() -> anyhow::Result<String> {
    if !works(program("cargo-deny").arg("--version")) {
        let install = "cargo install cargo-deny --locked".to_owned();
        return Err(Missing { what: "cargo-deny", install }.into());
    }
    shown(cargo().args([
        "deny",
        "--locked",
        "--log-level",
        "error",
        "check",
        "licenses",
        "bans",
        "sources",
    ]))
}

/// The README's first command, as it stands there.
fn demo() -> anyhow::Result<String> {
    let demo = run_command(cargo().args(["xtask", "demo", "--name", "Ada"]))?;
    let reply = demo.succeeded()?;
    anyhow::ensure!(reply == "Hello Ada\n", "standard output was {reply:?}");
    result(format_args!("{}", reply.trim_end()))?;
    Ok("Hello Ada".to_owned())
}
