//! Messages and replies that a server has to hold.

use std::io;

use greet_testkit::framing::{framed, text_message};
use greet_testkit::http2::{DEFAULT_WINDOW, INITIAL_WINDOW_SIZE};
use greet_testkit::{AttackState, HostilePeer};

use super::{MAX_CALLS, MAX_STREAMING_CALLS, MESSAGE_BYTES};
use crate::harness::sample;

/// Connections of one peer. A thread for each would send the bursts one after the other.
pub(crate) const BURSTS_PER_PEER: usize = 100;
/// Calls whose messages together have 512 KiB.
const BURST_CALLS: u32 = 32;
const WHOLE_FRAMES: usize = 16_384;
/// The default of `--max-name-bytes`.
const NAME_BYTES: usize = 4_096;
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// SETTINGS without a window for replies.
const NO_WINDOW: [u32; 2] = [INITIAL_WINDOW_SIZE, 0];

/// Every call announces and sends a message of almost the maximum, which never ends.
pub(super) fn unfinished_messages(target: &str, attack: &AttackState) -> io::Result<()> {
    send_unfinished(target, attack, MAX_CALLS, WHOLE_FRAMES)
}

/// The same with one call and the smallest frames.
pub(super) fn small_frames(target: &str, attack: &AttackState) -> io::Result<()> {
    send_unfinished(target, attack, 1, 1)
}

fn send_unfinished(
    target: &str,
    attack: &AttackState,
    calls: u32,
    frame_bytes: usize,
) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    send_messages(&mut peer, calls, frame_bytes)?;
    peer.hold()
}

/// Makes calls with a message of the maximum size that lacks its last byte.
fn send_messages(peer: &mut HostilePeer<'_>, calls: u32, frame_bytes: usize) -> io::Result<()> {
    let message = framed(&[b'x'; MESSAGE_BYTES]);
    let unfinished = &message[..message.len() - 1];
    (0..calls).map(|call| 2 * call + 1).try_for_each(|stream| {
        peer.start_call(stream, sample::PATH)?;
        peer.send_data(stream, unfinished, frame_bytes)
    })
}

/// Unfinished messages of 512 KiB in each connection, at about the same time in all of them.
pub(super) fn bursts(target: &str, attack: &AttackState) -> io::Result<()> {
    let connect = |_| HostilePeer::connect(target, &[], attack);
    let mut peers = (0..BURSTS_PER_PEER).map(connect).collect::<io::Result<Vec<_>>>()?;
    for peer in &mut peers {
        let _ = send_messages(peer, BURST_CALLS, WHOLE_FRAMES); // may be closed already
    }
    peers.into_iter().try_for_each(HostilePeer::hold)
}

/// Streams that send requests until their window is full, and take no reply.
pub(super) fn reflection(target: &str, attack: &AttackState) -> io::Result<()> {
    send_streams(target, attack, MAX_STREAMING_CALLS, WHOLE_FRAMES)
}

pub(super) fn small_stream_frames(target: &str, attack: &AttackState) -> io::Result<()> {
    send_streams(target, attack, 1, 1)
}

fn send_streams(
    target: &str,
    attack: &AttackState,
    streams: u32,
    frame_bytes: usize,
) -> io::Result<()> {
    let list_services = framed(b"\x3a\x01*");
    let mut requests = list_services.repeat(DEFAULT_WINDOW as usize / list_services.len());
    requests.truncate(DEFAULT_WINDOW as usize);
    let mut peer = HostilePeer::connect(target, &NO_WINDOW, attack)?;
    (0..streams).try_for_each(|call| peer.start_call(2 * call + 1, REFLECTION))?;
    requests.chunks(WHOLE_FRAMES).try_for_each(|part| {
        (0..streams).try_for_each(|call| peer.send_data(2 * call + 1, part, frame_bytes))
    })?;
    peer.hold()
}

/// Complete calls with the longest name.
pub(super) fn replies_without_window(target: &str, attack: &AttackState) -> io::Result<()> {
    let name = text_message(&"x".repeat(NAME_BYTES));
    let mut peer = HostilePeer::connect(target, &NO_WINDOW, attack)?;
    (0..MAX_CALLS).try_for_each(|call| peer.call(2 * call + 1, sample::PATH, &name))?;
    peer.hold()
}
