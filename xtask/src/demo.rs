//! `cargo xtask demo`: the whole of Greet in one command.

use crate::harness::command::{result, run as run_command, step};
use crate::harness::daemon::Daemon;
use crate::harness::programs;

/// Whom to greet, and with which build
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whom to greet
    #[arg(long, default_value = "world")]
    name: String,
    /// Use the optimised build (it takes minutes the first time)
    #[arg(long)]
    release: bool,
}

/// The reply goes to standard output, what is done on the way to standard error.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let programs = programs::build(args.release)?;

    step(format_args!("starting the daemon: greet-server --listen 127.0.0.1:0"));
    let daemon = Daemon::start(&programs, &["--listen", "127.0.0.1:0"])?;
    let target = daemon.target.clone();

    step(format_args!("waiting for it: greet-cli --target {target} --wait 10s health"));
    run_command(&mut programs.greet(&target, &["--wait", "10s", "health"]))?.succeeded()?;

    step(format_args!("greeting: greet-cli --target {target} hello --name {}", args.name));
    let hello = ["hello", "--name", &args.name];
    let reply = run_command(&mut programs.greet(&target, &hello))?.succeeded()?;
    result(format_args!("{}", reply.trim_end_matches('\n')))?;

    step(format_args!("stopping the daemon with SIGTERM"));
    let ended = daemon.stop()?;
    anyhow::ensure!(cfg!(not(unix)) || ended.code == Some(0), "the daemon ended with {ended:?}");
    Ok(())
}
