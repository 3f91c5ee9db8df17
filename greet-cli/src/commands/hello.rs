//! `hello`: calls SayHello for each name and prints one reply per line, in the order of the names.

use super::{Context, wait_until_reachable};
use crate::bulk::{self, BulkOptions, NameSource, Names};
use crate::client::Client;
use crate::exit::Exit;
use crate::fd_limit;
use crate::output::{Stderr, Stdout};

pub(crate) async fn run(
    options: &BulkOptions,
    context: Context,
    stdout: &mut Stdout,
    stderr: &mut Stderr,
) -> anyhow::Result<Exit> {
    fd_limit::raise_to_hard_limit();
    let names = match Names::new(&options.source) {
        Ok(names) => names,
        Err(invalid) => {
            stderr.error(format_args!("{invalid:#}"));
            return Ok(Exit::Usage);
        }
    };
    let Context { targets, wait, mut call_options } = context;
    // Typed names share one deadline; the number of names in a file is unknown.
    if options.with_tally || matches!(options.source, NameSource::File(_)) {
        call_options.overall_deadline = None;
    }
    let client = Client::new(call_options, &targets, options.connections);
    wait_until_reachable(&client, wait, stderr).await;
    bulk::run(&client, names, options, stdout, stderr).await
}
