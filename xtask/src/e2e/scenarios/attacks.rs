//! The attacks of the server's own tests, by twelve peers each: afterwards the daemon uses no more
//! descriptors and memory than before, and answers calls.

use std::thread;
use std::time::Duration;

use greet_testkit::BlockingPeer;
use greet_testkit::http2::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    call_headers, frame,
};

use crate::harness::command::{capture, wait_for};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::report::require_linux;
use crate::harness::resources::Resources;
use crate::harness::sample;

const PEERS_PER_ATTACK: usize = 12;
/// Memory that the allocator may keep.
const MAX_KIB_KEPT: u64 = 24 * 1_024;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    require_linux()?;
    let flags = ["--listen=127.0.0.1:0", "--handshake-timeout=1s", "--request-timeout=1s"];
    let daemon = Daemon::start(programs, &flags)?;
    let target = daemon.target.clone();
    let call = || capture(&mut programs.call(&target, "Ada"));
    call()?.succeeded()?;
    let idle = Resources::of(&daemon)?.descriptors; // at most one too many, of the client that just left
    // The first round warms up the allocator.
    attack(&target)?;
    let before = settled(&daemon, idle)?;

    let attacks = attack(&target)?;
    let reply = call()?.succeeded()?;
    anyhow::ensure!(reply == sample::reply("Ada"), "the reply was {reply:?}");
    let after = settled(&daemon, idle)?;
    anyhow::ensure!(after.kib <= before.kib + MAX_KIB_KEPT, "{before:?} {after:?}");
    daemon.stop_cleanly()?;
    let grown = after.kib.saturating_sub(before.kib);
    Ok(format!("{attacks} attacks by {PEERS_PER_ATTACK} peers each; {grown} KiB more"))
}

/// Runs the attacks one after the other, the peers of each at the same time. Returns their number.
fn attack(target: &str) -> anyhow::Result<usize> {
    let request = |stream| frame(HEADERS, END_HEADERS, stream, &call_headers(sample::PATH));
    let bomb =
        [&call_headers(sample::PATH)[..], &[0x40, 1, b'x', 3, b'x', b'x', b'x'], &[0xbe; 9_000]];
    let rapid_reset = (0..200).map(|call| 2 * call + 1);
    let rapid_reset = rapid_reset
        .flat_map(|stream| [request(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])]);
    let made_you_reset = (0..1_100).map(|call| 2 * call + 1);
    let made_you_reset = made_you_reset
        .flat_map(|stream| [request(stream), frame(WINDOW_UPDATE, 0, stream, &[0; 4])]);
    let attacks: [(Vec<Vec<u8>>, usize); 10] = [
        (Vec::new(), 0), // sends nothing
        (rapid_reset.collect(), 1),
        (made_you_reset.collect(), 1),
        (vec![frame(HEADERS, 0, 1, &[]), frame(CONTINUATION, 0, 1, &[]).repeat(1_000)], 1),
        (vec![request(1), frame(DATA, 0, 1, &[]).repeat(1_000)], 1),
        (vec![request(1), frame(DATA, 0, 1, &[0]).repeat(9_000)], 1),
        (vec![frame(HEADERS, END_HEADERS, 1, &bomb.concat())], 1),
        (vec![request(1), frame(DATA, 0, 1, &[0, 0xff, 0xff, 0xff, 0xff])], 1),
        (vec![frame(PING, 0, 0, &[0; 8]).repeat(4_096)], 256),
        (vec![frame(SETTINGS, 0, 0, &[]).repeat(4_096)], 256),
    ];
    for (frames, times) in &attacks {
        thread::scope(|scope| {
            let peers = (0..PEERS_PER_ATTACK).map(|_| {
                scope.spawn(|| {
                    if frames.is_empty() {
                        return BlockingPeer::silent(target).map(drop);
                    }
                    BlockingPeer::connect(target)?.attack(frames, *times)
                })
            });
            let peers: Vec<_> = peers.collect();
            peers.into_iter().try_for_each(|peer| peer.join().expect("a peer does not panic"))
        })?;
    }
    Ok(attacks.len())
}

/// Returns the resources of the daemon after it has closed the connections of all attackers.
fn settled(daemon: &Daemon, descriptors: usize) -> anyhow::Result<Resources> {
    wait_for("the attackers' connections are closed", CLOSE_TIMEOUT, || {
        let used = Resources::of(daemon)?;
        Ok((used.descriptors <= descriptors).then_some(used))
    })
}
