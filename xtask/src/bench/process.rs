//! The cost of a server besides its calls: memory of a connection, memory at rest, time to the first
//! reply.

use std::time::Instant;

use greet_testkit::BlockingPeer;

use super::calls::median;
use super::peers::{BURST_CALLS, Peer, Starter};
use crate::harness::command::{capture, program};
use crate::harness::resources::Resources;

/// Connections that are measured fresh; each takes little.
pub(super) const IDLE_CONNECTIONS: usize = 2_000;
/// Connections that are measured after a burst; the slowest server needs ten seconds for all calls.
pub(super) const BURST_CONNECTIONS: usize = 100;
const MESSAGE: &[u8] = b"\x0a\x03Ada";
const SAY_HELLO: &str = "/greet.Greeter/SayHello";

/// The figures of a server.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) peer: Peer,
    pub(super) kib_at_rest: f64,
    pub(super) kib_per_connection: f64,
    pub(super) kib_after_burst: f64,
    /// The time from exec to the first reply.
    pub(super) first_reply_ms: f64,
}

pub(super) fn measure(starter: &Starter, peer: Peer, rounds: usize) -> anyhow::Result<Process> {
    let first_replies = (0..rounds).map(|_| {
        let started = Instant::now();
        let server = starter.start(peer)?;
        drop(BlockingPeer::calling(&server.target, SAY_HELLO, Some(MESSAGE))?);
        Ok(started.elapsed().as_secs_f64() * 1e3)
    });
    let first_reply_ms = median(first_replies.collect::<anyhow::Result<Vec<_>>>()?.into_iter());
    let [at_rest, fresh] = connections(starter, peer, IDLE_CONNECTIONS, 0)?;
    let [before, after] = connections(starter, peer, BURST_CONNECTIONS, BURST_CALLS)?;
    Ok(Process {
        peer,
        kib_at_rest: at_rest,
        kib_per_connection: (fresh - at_rest) / IDLE_CONNECTIONS as f64,
        kib_after_burst: (after - before) / BURST_CONNECTIONS as f64,
        first_reply_ms,
    })
}

/// Returns the resident KiB after one call, and with `count` idle connections after `calls` calls on
/// each, all at the same time.
fn connections(
    starter: &Starter,
    peer: Peer,
    count: usize,
    calls: u32,
) -> anyhow::Result<[f64; 2]> {
    let server = starter.start(peer)?;
    drop(BlockingPeer::calling(&server.target, SAY_HELLO, Some(MESSAGE))?);
    let before = Resources::of(&server)?.kib;
    let open = (0..count).map(|_| BlockingPeer::connect(&server.target));
    let mut open = open.collect::<Result<Vec<_>, _>>()?;
    // The server finds all calls at once, however fast it is.
    let signal = |name: &str| {
        capture(program("kill").args(["-s", name, &server.id().to_string()]))?.succeeded()
    };
    signal("STOP")?;
    for connection in &mut open {
        connection.start_calls(calls, SAY_HELLO, MESSAGE)?;
    }
    signal("CONT")?;
    for connection in &mut open {
        connection.finish_calls(calls)?;
    }
    let after = Resources::of(&server)?.kib;
    drop(open);
    Ok([before, after].map(|kib| kib as f64))
}
