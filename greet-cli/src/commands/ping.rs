//! `ping`: calls each target at a fixed interval, prints a line per second and each outage, and then a
//! summary.

use futures_util::future::join_all;

use super::{Context, Failures, clients, wait_until_reachable};
use crate::client::CallOptions;
use crate::exit::Exit;
use crate::output::{Stderr, Stdout};
use crate::ping::{self, Ping, PingOptions};

pub(crate) async fn run(
    options: &PingOptions,
    context: Context,
    stdout: &mut Stdout,
    stderr: &Stderr,
) -> anyhow::Result<Exit> {
    let call_options = CallOptions { overall_deadline: None, ..context.call_options };
    let context = Context { call_options, ..context };
    let clients = clients(&context);
    let waits = clients.iter().map(|client| wait_until_reachable(client, context.wait, stderr));
    join_all(waits).await;
    let Context { targets, call_options, .. } = context;
    let mut failures = Failures::new(targets.len(), stderr);
    let mut ping = Ping::new(options, targets, clients);
    ping.run(&call_options, stdout, stderr).await?;
    for (target, failure, past) in ping::failures(&ping) {
        match past {
            Some(past) => failures.report_past(target, &past, failure),
            None => drop(failures.report(target, failure)),
        }
    }
    failures.finish();
    Ok(ping.exit())
}
