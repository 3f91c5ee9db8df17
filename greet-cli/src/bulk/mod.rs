//! Calls SayHello for many names, concurrently, and prints the replies in the order of the names.

pub(crate) mod interrupt;
mod ordered_output;
mod source;
mod tally;

use std::pin::Pin;

use futures_util::future::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use self::ordered_output::{OrderedOutput, Outcome};
use self::source::Name;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Stderr, Stdout, Written};

pub(crate) use self::source::{BYTE_ORDER_MARK, NameSource, Names, open};

/// The options of `hello`.
#[derive(Debug)]
pub(crate) struct BulkOptions {
    pub(crate) source: NameSource,
    /// Maximum calls in flight.
    pub(crate) concurrency: usize,
    pub(crate) connections: usize,
    pub(crate) fail_fast: bool,
    /// Whether to count the replies of each server.
    pub(crate) with_tally: bool,
}

/// Maximum outcomes, for each concurrent call, that wait for an earlier one: a slow call does not block the
/// others, and a stuck call does not let them fill memory.
const MAX_WAITING_PER_CALL: u64 = 16;

enum Event {
    Named(anyhow::Result<Option<Name>>),
    Ended(u64, Outcome),
    /// The output is to be written.
    FlushDue,
    Interrupted(Exit),
}

/// Fails if the names are not readable or standard output is not writable.
pub(crate) async fn run(
    client: &Client,
    mut names: Names,
    options: &BulkOptions,
    stdout: &mut Stdout,
    stderr: &mut Stderr,
) -> anyhow::Result<Exit> {
    let calls = names.calls();
    let is_one = calls == Some(1);
    let mut interrupted = std::pin::pin!(async {
        if is_one {
            std::future::pending().await // the default action of the signal applies
        } else {
            interrupt::first_signal().await
        }
    });
    let mut output = OrderedOutput::new(stdout, stderr, &names, options.with_tally);
    let mut in_flight = FuturesUnordered::new();
    let (mut started, mut more, mut unreadable) = (0, true, None);
    let window = options.concurrency as u64 * MAX_WAITING_PER_CALL;
    let interrupted_by = loop {
        more &= !(options.fail_fast && output.has_failed());
        let has_room = in_flight.len() < options.concurrency && started - output.printed() < window;
        let may_start = more && has_room;
        if !may_start && in_flight.is_empty() {
            break None;
        }
        let next = next_event(&mut names, may_start, &mut in_flight, &mut interrupted);
        let event = tokio::select! {
            biased;
            () = std::future::ready(()), if output.is_full() => Event::FlushDue,
            event = next => event,
            () = output.flush_due() => Event::FlushDue,
        };
        match event {
            Event::Named(Ok(Some(Ok(name)))) => {
                in_flight.push(Box::pin(greet(client, started, name))); // boxed because it is large
                started += 1;
            }
            Event::Named(Ok(Some(Err(invalid)))) => {
                output.push(started, Outcome::InvalidName(invalid));
                started += 1;
            }
            Event::Named(Ok(None)) => more = false,
            Event::Named(Err(error)) => (more, unreadable) = (false, Some(error)),
            Event::Ended(index, outcome) => output.push(index, outcome),
            // The reader may be slow; a signal ends the wait.
            Event::FlushDue => tokio::select! {
                written = output.flush() => if written? == Written::BrokenPipe {
                    return Ok(output.exit());
                },
                by = &mut interrupted => break Some(by),
            },
            Event::Interrupted(by) => break Some(by),
        }
        if output.print_in_order().await? == Written::BrokenPipe {
            return Ok(output.exit());
        }
    };
    while let Some(Some((index, outcome))) = in_flight.next().now_or_never() {
        output.push(index, outcome);
    }
    drop(in_flight);
    let exit = output.finish(interrupted_by).await?;
    unreadable.map_or(Ok(exit), Err)
}

async fn greet(client: &Client, index: u64, name: String) -> (u64, Outcome) {
    let call = Box::new(client.say_hello(&name).await);
    (index, Outcome::Called { name, call })
}

/// Waits for the next event; replies come first, because they make room.
async fn next_event(
    names: &mut Names,
    may_start: bool,
    in_flight: &mut FuturesUnordered<impl Future<Output = (u64, Outcome)>>,
    interrupted: &mut Pin<&mut impl Future<Output = Exit>>,
) -> Event {
    tokio::select! {
        biased;
        by = interrupted => Event::Interrupted(by),
        Some((index, outcome)) = in_flight.next() => Event::Ended(index, outcome),
        name = names.next(), if may_start => Event::Named(name),
        else => std::future::pending().await,
    }
}
