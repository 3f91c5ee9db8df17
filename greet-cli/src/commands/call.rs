//! `call`: calls a method for each input and prints one reply per line, in the order of the inputs.

use super::{Context, wait_until_reachable};
use crate::bulk::{self, BulkOptions, Inputs, Source};
use crate::client::Client;
use crate::exit::Exit;
use crate::fd_limit;
use crate::method::Method;
use crate::output::{Stderr, Stdout};

pub(crate) async fn run(
    method: &dyn Method,
    options: &BulkOptions,
    context: Context,
    stdout: &mut Stdout,
    stderr: &mut Stderr,
) -> anyhow::Result<Exit> {
    fd_limit::raise_to_hard_limit();
    let inputs = match Inputs::new(&options.source) {
        Ok(inputs) => inputs,
        Err(invalid) => {
            stderr.error(format_args!("{invalid:#}"));
            return Ok(Exit::Usage);
        }
    };
    let Context { targets, wait, mut call_options } = context;
    // Typed inputs share one deadline; the number of inputs in a file is unknown.
    if options.with_tally || matches!(options.source, Source::File(_)) {
        call_options.overall_deadline = None;
    }
    let client = Client::new(call_options, &targets, options.connections);
    wait_until_reachable(&client, wait, stderr).await;
    bulk::run(&client, method, inputs, options, stdout, stderr).await
}
