//! `hello`: SayHello for each name, one reply a line, in the order of the names.

use super::{Context, until_reachable};
use crate::bulk::{Bulk, BulkOptions, NameSource, Names};
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Stderr, Stdout};

pub(crate) async fn run(
    options: BulkOptions,
    context: Context,
    data: &mut Stdout,
    prose: &mut Stderr,
) -> anyhow::Result<Exit> {
    let BulkOptions { source, concurrency, connections, fail_fast, with_tally } = options;
    // Typed names share the time of the command; the number of names in a file is not known ahead.
    let is_bounded = matches!(source, NameSource::Typed { .. }) && !with_tally;
    let terms = if is_bounded { context.terms } else { context.terms.without_end() };
    let names = match Names::new(source) {
        Ok(names) => names,
        Err(unusable) => {
            prose.note(format_args!("{unusable:#}"));
            return Ok(Exit::Usage);
        }
    };
    let client = Client::new(terms, &context.targets, connections);
    until_reachable(&client, context.wait, prose).await;
    Bulk { client: &client, names, concurrency, fail_fast, with_tally }.run(data, prose).await
}
