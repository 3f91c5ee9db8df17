//! `hello`: SayHello for each name, one reply a line, in the order of the names.

use super::wait;
use crate::args::{ConnectionArgs, HelloArgs};
use crate::batch::{Batch, Names};
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Data, Prose};
use crate::terms::Terms;

pub(super) async fn run(
    args: HelloArgs,
    connection: &ConnectionArgs,
    terms: Terms,
    data: &mut Data,
    prose: &mut Prose,
) -> anyhow::Result<Exit> {
    let (concurrency, connections) = (args.concurrency(), args.connections());
    let (fail_fast, with_tally) = (args.fail_fast, args.count.get() > 1);
    // Names that were typed share the time of the command; of others nobody knows how many there are.
    let is_bounded = args.names_from.is_none() && args.count.get() == 1;
    let terms = if is_bounded { terms } else { terms.without_end() };
    let names = match Names::new(args) {
        Ok(names) => names,
        Err(unusable) => {
            prose.note(format_args!("{unusable:#}"));
            return Ok(Exit::Usage);
        }
    };
    let client = Client::new(terms, &connection.target, connections);
    wait::until_reachable(&client, connection, prose).await;
    Batch { client: &client, names, concurrency, fail_fast, with_tally }.run(data, prose).await
}
