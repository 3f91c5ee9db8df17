//! `hello`: SayHello for each name, one reply a line, in the order of the names.

use super::{Context, wait_until_reachable};
use crate::bulk::{Bulk, BulkOptions, NameSource, Names};
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Stderr, Stdout};

pub(crate) async fn run(
    options: BulkOptions,
    context: Context,
    stdout: &mut Stdout,
    stderr: &mut Stderr,
) -> anyhow::Result<Exit> {
    let BulkOptions { source, concurrency, connections, fail_fast, with_tally } = options;
    // Typed names share the time of the command; the number of names in a file is not known ahead.
    let is_bounded = matches!(source, NameSource::Typed { .. }) && !with_tally;
    let call_options =
        if is_bounded { context.call_options } else { context.call_options.without_deadline() };
    let names = match Names::new(source) {
        Ok(names) => names,
        Err(invalid) => {
            stderr.note(format_args!("{invalid:#}"));
            return Ok(Exit::Usage);
        }
    };
    let client = Client::new(call_options, &context.targets, connections);
    wait_until_reachable(&client, context.wait, stderr).await;
    Bulk { client: &client, names, concurrency, fail_fast, with_tally }.run(stdout, stderr).await
}
