//! Calls a method for many inputs, concurrently, and prints the replies in the order of the inputs.

pub(crate) mod interrupt;
mod ordered_output;
mod source;
mod tally;

use bytes::Bytes;
use futures_util::future::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use self::ordered_output::{OrderedOutput, Outcome};
use self::source::Line;
use crate::client::Client;
use crate::exit::Exit;
use crate::method::Method;
use crate::output::{Stderr, Stdout, Written};

pub(crate) use self::source::{BYTE_ORDER_MARK, Inputs, Source, open};

/// The options of a command with one call for each input.
#[derive(Debug)]
pub(crate) struct BulkOptions {
    pub(crate) source: Source,
    /// Maximum calls in flight.
    pub(crate) concurrency: usize,
    pub(crate) connections: usize,
    pub(crate) fail_fast: bool,
    /// Whether to count the replies of each server.
    pub(crate) with_tally: bool,
}

/// Maximum outcomes, for each concurrent call, that wait for an earlier one: a slow call does not
/// block the others, and a stuck call does not let them fill memory.
const MAX_WAITING_PER_CALL: u64 = 16;

/// Fails if standard output is not writable.
pub(crate) async fn run(
    client: &Client,
    method: &dyn Method,
    mut inputs: Inputs,
    options: &BulkOptions,
    stdout: &mut Stdout,
    stderr: &mut Stderr,
) -> anyhow::Result<Exit> {
    let is_one = inputs.calls() == Some(1);
    let mut interrupted = std::pin::pin!(async {
        if is_one {
            std::future::pending().await // the default action of the signal applies
        } else {
            interrupt::first_signal().await
        }
    });
    let mut output = OrderedOutput::new(stdout, stderr, method, &inputs, options.with_tally);
    let mut in_flight = FuturesUnordered::new();
    let (mut started, mut has_more, mut unreadable) = (0, true, None);
    let window = options.concurrency as u64 * MAX_WAITING_PER_CALL;
    let interrupted_by = loop {
        has_more &= !(options.fail_fast && output.has_failed);
        let has_room = in_flight.len() < options.concurrency && started - output.printed < window;
        let may_start = has_more && has_room;
        if !may_start && in_flight.is_empty() {
            break None;
        }
        // Outcomes come before inputs, because they make room.
        let is_flush_due = tokio::select! {
            biased;
            () = std::future::ready(()), if output.stdout.is_full() => true,
            by = &mut interrupted => break Some(by),
            Some((index, outcome)) = in_flight.next() => {
                output.push(index, outcome);
                false
            }
            input = inputs.next(), if may_start => {
                match input {
                    Ok(Some(input)) => match encoded(method, input) {
                        // Boxed because it is large.
                        Ok((input, body)) => {
                            in_flight.push(Box::pin(call(client, method, started, input, body)));
                        }
                        Err(reason) => output.push(started, Outcome::InvalidInput(reason)),
                    },
                    Ok(None) => has_more = false,
                    Err(error) => (has_more, unreadable) = (false, Some(error)),
                }
                started += u64::from(has_more);
                false
            }
            () = output.stdout.flush_due() => true,
        };
        if is_flush_due {
            // The reader may be slow; a signal ends the wait.
            let written = tokio::select! {
                written = output.stdout.flush() => written?,
                by = &mut interrupted => break Some(by),
            };
            if written == Written::BrokenPipe {
                return Ok(output.exit);
            }
        }
        if output.print_in_order().await? == Written::BrokenPipe {
            return Ok(output.exit);
        }
        output.report_dead_servers(&client.newly_dead_servers());
    };
    while let Some(Some((index, outcome))) = in_flight.next().now_or_never() {
        output.push(index, outcome);
    }
    // The calls in flight are dropped after the last await, so that their connections end with a
    // GOAWAY (`connect::goaway_on_drop`) and not with a reset of each call.
    output.tally.connect_failures = client.connect_failures();
    let exit = output.finish(interrupted_by).await?;
    let Some(unreadable) = unreadable else {
        return Ok(exit);
    };
    stderr.error(format_args!("{unreadable:#}"));
    Ok(exit.or(Exit::Usage))
}

/// Returns the input and its request, or the reason that it is not one.
fn encoded(method: &dyn Method, input: Line) -> Result<(String, Bytes), String> {
    let input = input.map_err(|invalid| invalid.to_string())?;
    let body = method.encode(&input)?;
    Ok((input, body))
}

async fn call(
    client: &Client,
    method: &dyn Method,
    index: u64,
    input: String,
    body: Bytes,
) -> (u64, Outcome) {
    let call = client.call(method.path(), &body, None).await;
    let call = Box::new(call.decoded(|reply| method.decode(reply)));
    (index, Outcome::Called { input, call })
}
