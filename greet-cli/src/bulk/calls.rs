//! The loop: begin calls while there is room, take replies as they come, print them in order.

use std::pin::Pin;

use futures_util::future::{Either, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::interrupt;
use super::ordered_output::{OrderedOutput, Outcome};
use super::source::{Name, Names};
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Stderr, Stdout, Written};

/// How many replies may wait for an earlier one, for each call that may be under way: one slow call
/// must not hold up the others, and a stuck one must not let them fill memory.
const MAX_WAITING_PER_CALL: u64 = 16;

/// What is to be done, and how.
#[derive(Debug)]
pub(crate) struct Bulk<'a> {
    pub(crate) client: &'a Client,
    pub(crate) names: Names,
    /// Calls under way at a time.
    pub(crate) concurrency: usize,
    pub(crate) fail_fast: bool,
    /// Whether it is to be told who answered how often.
    pub(crate) with_tally: bool,
}

/// What happens next.
enum Event {
    Named(anyhow::Result<Option<Name>>),
    Ended(u64, Outcome),
    /// What is gathered is to be written.
    Due,
    Interrupted(Exit),
}

impl Bulk<'_> {
    /// # Errors
    /// Names cannot be read, or standard output cannot be written.
    pub(crate) async fn run(
        mut self,
        data: &mut Stdout,
        prose: &mut Stderr,
    ) -> anyhow::Result<Exit> {
        let calls = self.names.calls();
        let is_one = calls == Some(1);
        let mut interrupted = std::pin::pin!(match is_one {
            true => Either::Left(std::future::pending()), // one call needs no more than the default
            false => Either::Right(interrupt::once()),
        });
        let mut printer = OrderedOutput::new(data, prose, &self.names, self.with_tally);
        let mut under_way = FuturesUnordered::new();
        let (mut begun, mut more, mut unreadable) = (0, true, None);
        let window = self.concurrency as u64 * MAX_WAITING_PER_CALL;
        let interrupted_by = loop {
            more &= !(self.fail_fast && printer.has_failed());
            let has_room = under_way.len() < self.concurrency && begun - printer.printed() < window;
            let may_begin = more && has_room;
            if !may_begin && under_way.is_empty() {
                break None;
            }
            let next = next_event(&mut self.names, may_begin, &mut under_way, &mut interrupted);
            let event = tokio::select! {
                biased;
                () = std::future::ready(()), if printer.is_enough() => Event::Due,
                event = next => event,
                () = printer.is_due() => Event::Due,
            };
            match event {
                Event::Named(Ok(Some(Ok(name)))) => {
                    under_way.push(Box::pin(greet(self.client, begun, name))); // it is large to move
                    begun += 1;
                }
                Event::Named(Ok(Some(Err(unusable)))) => {
                    printer.arrived(begun, Outcome::InvalidName(unusable));
                    begun += 1;
                }
                Event::Named(Ok(None)) => more = false,
                Event::Named(Err(error)) => (more, unreadable) = (false, Some(error)),
                Event::Ended(index, outcome) => printer.arrived(index, outcome),
                // Whoever reads may be slow, and is not to be waited for against our user's will.
                Event::Due => tokio::select! {
                    written = printer.flush() => if written? == Written::BrokenPipe {
                        return Ok(printer.exit());
                    },
                    by = &mut interrupted => break Some(by),
                },
                Event::Interrupted(by) => break Some(by),
            }
            if printer.print_in_order().await? == Written::BrokenPipe {
                return Ok(printer.exit());
            }
        };
        while let Some(Some((index, outcome))) = under_way.next().now_or_never() {
            printer.arrived(index, outcome);
        }
        drop(under_way);
        let exit = printer.conclude(interrupted_by).await?;
        unreadable.map_or(Ok(exit), Err)
    }
}

async fn greet(client: &Client, index: u64, name: String) -> (u64, Outcome) {
    let call = Box::new(client.say_hello(&name).await);
    (index, Outcome::Called { name, call })
}

/// ResponseStream come first: they make room.
async fn next_event(
    names: &mut Names,
    may_begin: bool,
    under_way: &mut FuturesUnordered<impl Future<Output = (u64, Outcome)>>,
    interrupted: &mut Pin<&mut impl Future<Output = Exit>>,
) -> Event {
    tokio::select! {
        biased;
        by = interrupted => Event::Interrupted(by),
        Some((index, outcome)) = under_way.next() => Event::Ended(index, outcome),
        name = names.next(), if may_begin => Event::Named(name),
        else => std::future::pending().await,
    }
}
