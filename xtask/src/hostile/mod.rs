//! `cargo xtask hostile`: each attack against the daemon and servers on other gRPC libraries, beside a
//! well-behaved client.

pub(crate) mod attack;
pub(crate) mod attacks;
mod document;
pub(crate) mod good_client;
mod servers;
mod trial;

use std::fs;

use anyhow::{Context as _, ensure};

use crate::harness::command::{print, progress, show};
use crate::harness::cores::{pin_to_client_core, require_a_core_each};
use crate::harness::programs::{cargo, root};
use crate::harness::report::require_linux;
use crate::harness::resources::raise_descriptor_limit;

use attack::Attack;
use attacks::ATTACKS;
use servers::Servers;
use trial::Row;

/// More than the connections and programs of one attack.
const DESCRIPTORS: u64 = 4_096;
/// The duration of each attack with --quick.
const QUICK_SECONDS: u64 = 1;

/// The packages whose code runs while a peer attacks, besides the standard library.
const ATTACKING_PACKAGES: [&str; 2] = ["xtask", "greet-testkit"];

/// Which attacks, and how long
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Attack for a second each; no document is written
    #[arg(long)]
    quick: bool,
    /// Run only the attacks whose name contains this text; no document is written
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { quick, only } = args;
    let is_selected = |attack: &&Attack| attack.name.contains(only.as_deref().unwrap_or_default());
    let attacks: Vec<_> = ATTACKS.iter().filter(is_selected).collect();
    let names = || ATTACKS.iter().map(|attack| attack.name).collect::<Vec<_>>().join(", ");
    ensure!(!attacks.is_empty(), "--only: no attack has this name; there are: {}", names());
    require_linux()?;
    require_a_core_each()?;
    if cfg!(debug_assertions) {
        return run_optimised();
    }
    raise_descriptor_limit(DESCRIPTORS)?;
    let servers = Servers::build()?;
    let machine = document::machine()?; // before this process has one core
    pin_to_client_core()?;

    let seconds = |attack: &Attack| if *quick { QUICK_SECONDS } else { attack.seconds };
    let unattacked = trial::without_attack(&servers, if *quick { QUICK_SECONDS } else { 4 })?;
    let rows = attacks.iter().map(|attack| trial::run(&servers, attack, seconds(attack)));
    let rows = rows.collect::<anyhow::Result<Vec<Row>>>()?;
    let text = document::markdown(&machine, &servers, &unattacked, &rows)?;
    print(format_args!("{text}"))?;
    if !quick && only.is_none() {
        fs::write(root().join(document::FILE), text)?;
        progress(format_args!("written: {}", document::FILE));
    }
    Ok(())
}

/// Runs this task again in an optimised build. Without, many figures would be those of attackers that are slower
/// than the servers.
fn run_optimised() -> anyhow::Result<()> {
    let mut run = cargo();
    run.args(["run", "--quiet", "--locked", "--package=xtask"]);
    // A release build would compile every dependency, and link for minutes.
    for package in ATTACKING_PACKAGES {
        run.arg(format!("--config=profile.dev.package.{package}.opt-level=3"));
        run.arg(format!("--config=profile.dev.package.{package}.debug-assertions=false"));
    }
    run.arg("--").args(std::env::args_os().skip(1));
    let status = run.status().with_context(|| format!("could not start {}", show(&run)))?;
    ensure!(status.success(), "the optimised build of this task: {status}");
    Ok(())
}
