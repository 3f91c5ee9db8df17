//! From what was typed to the verb that does it.

use crate::args::{Args, Command};
use crate::client::Settings;
use crate::commands::{diagnose, errors, health, hello, reference};
use crate::exit::Exit;
use crate::output::{Data, Prose};
use crate::target::Target;

/// # Errors
/// Standard output cannot be written, or input cannot be read.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (mut data, mut prose) = (Data::new(&args.output), Prose::new(&args.output));
    let settings = match Settings::new(&args.connection, &args.tls) {
        Ok(settings) => settings,
        Err(unusable) => {
            prose.note(format_args!("{unusable:#}"));
            return Ok(Exit::Usage);
        }
    };
    if args.tls.insecure && args.connection.target.iter().any(Target::is_tls) {
        prose.note(format_args!("--insecure: whoever answers is not verified"));
    }
    match args.command {
        Command::Hello(hello) => {
            hello::run(hello, &args.connection, settings, &mut data, &mut prose).await
        }
        Command::Health(health) => {
            health::run(&health, &args.connection, settings, &mut data, &prose).await
        }
        Command::Diagnose(diagnose) => {
            diagnose::run(&diagnose, &args.connection, settings, &mut data, &prose).await
        }
        Command::Completions { shell } => reference::completions(shell, &mut data).await,
        Command::Man => reference::man(&mut data).await,
        Command::Errors => errors::run(&mut data).await,
    }
}
