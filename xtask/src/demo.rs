//! `cargo xtask demo`: builds both programs, starts the daemon, calls it and stops it.

use crate::harness::command::{capture, print, progress};
use crate::harness::daemon::Daemon;
use crate::harness::programs;
use crate::harness::sample;

/// The name, and the build
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name in the request
    #[arg(long, default_value = "world")]
    name: String,
    /// Use the release build (takes minutes the first time)
    #[arg(long)]
    release: bool,
}

/// Prints the reply to standard output and progress to standard error.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let programs = programs::build(args.release)?;

    progress(format_args!("starting the daemon: greet-server --listen 127.0.0.1:0"));
    let daemon = Daemon::start(&programs, &["--listen", "127.0.0.1:0"])?;
    let target = daemon.target.clone();

    progress(format_args!("waiting for it: greet-cli --target {target} --wait 10s health"));
    capture(&mut programs.client(&target, &["--wait", "10s", "health"]))?.succeeded()?;

    progress(format_args!(
        "calling: greet-cli --target {target} {}",
        sample::call(&[&args.name]).join(" ")
    ));
    let reply = capture(&mut programs.call(&target, &args.name))?.succeeded()?;
    print(format_args!("{}", reply.trim_end_matches('\n')))?;

    progress(format_args!("stopping the daemon with SIGTERM"));
    let ended = daemon.stop()?;
    anyhow::ensure!(cfg!(not(unix)) || ended.code == Some(0), "the daemon ended with {ended:?}");
    Ok(())
}
