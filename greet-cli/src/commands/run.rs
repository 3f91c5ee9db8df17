//! From what was typed to the verb that does it.

use crate::args::{Args, Command};
use crate::client::Client;
use crate::commands::{health, hello};
use crate::exit::Exit;
use crate::output::Output;

/// # Errors
/// Standard output cannot be written.
pub(crate) async fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let client = match Client::new(&args.connection) {
        Ok(client) => client,
        Err(unusable) => {
            output.note(format_args!("{unusable:#}"));
            return Ok(Exit::Usage);
        }
    };
    match args.command {
        Command::Hello(hello) => hello::run(hello, &args.connection, client, output).await,
        Command::Health(health) => health::run(health, &args.connection, client, output).await,
    }
}
