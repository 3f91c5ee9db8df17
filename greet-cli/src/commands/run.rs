//! From what was typed to the verb that does it.

use crate::args::{Args, Command};
use crate::commands::{diagnose, errors, health, hello, load, reference};
use crate::exit::Exit;
use crate::output::{Data, Prose};
use crate::target::Target;
use crate::terms::Terms;

/// # Errors
/// Standard output cannot be written, or input cannot be read.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (mut data, mut prose) = (Data::new(&args.output), Prose::new(&args.output));
    let connection = &args.connection;
    if args.tls.insecure && connection.target.iter().any(Target::is_tls) {
        prose.note(format_args!("--insecure: whoever answers is not verified"));
    }
    let terms = Terms::new(connection, &args.tls);
    let calls =
        !matches!(args.command, Command::Completions { .. } | Command::Man | Command::Errors);
    if calls && let Ok(Terms { trace: Some(trace), .. }) = &terms {
        prose.note(format_args!("trace {trace}"));
        data.begin_trace(*trace);
    }
    match (args.command, terms) {
        (Command::Completions { shell }, _) => reference::completions(shell, &mut data).await,
        (Command::Man, _) => reference::man(&mut data).await,
        (Command::Errors, _) => errors::run(&mut data).await,
        (_, Err(unusable)) => {
            prose.note(format_args!("{unusable:#}"));
            Ok(Exit::Usage)
        }
        (Command::Hello(hello), Ok(terms)) => {
            hello::run(hello, connection, terms, &mut data, &mut prose).await
        }
        (Command::Health(health), Ok(terms)) => {
            health::run(&health, connection, terms, &mut data, &prose).await
        }
        (Command::Diagnose(diagnose), Ok(terms)) => {
            diagnose::run(&diagnose, connection, terms, &mut data, &prose).await
        }
        (Command::Load(load), Ok(terms)) => {
            load::run(&load, connection, terms, &mut data, &mut prose).await
        }
    }
}
