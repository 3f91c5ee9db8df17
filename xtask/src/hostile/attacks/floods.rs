//! Floods of frames that belong to no call, or to one that stays open.

use std::io;

use greet_testkit::http2::{
    DATA, DEFAULT_WINDOW, INITIAL_WINDOW_SIZE, PING, PRIORITY, SETTINGS, WINDOW_UPDATE, frame,
    settings,
};
use greet_testkit::{AttackState, HostilePeer};

use super::MAX_CALLS;
use crate::harness::sample;

/// A frame type that no extension has.
const UNKNOWN_TYPE: u8 = 0xfa;
/// Frames that are sent at once.
const FRAMES: usize = 256;
/// The payload of a PRIORITY: depends on stream 3, with the least weight.
const ON_STREAM_3: [u8; 5] = [0, 0, 0, 3, 0];

pub(super) fn ping(target: &str, attack: &AttackState) -> io::Result<()> {
    flood(target, attack, frame(PING, 0, 0, &[0; 8]))
}

/// The server can queue the acknowledgements, or stop reading.
pub(super) fn unread_acknowledgements(target: &str, attack: &AttackState) -> io::Result<()> {
    let frames = frame(PING, 0, 0, &[0; 8]).repeat(FRAMES);
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    peer.stop_reading();
    peer.flood(|_| frames.clone())
}

pub(super) fn settings_frames(target: &str, attack: &AttackState) -> io::Result<()> {
    flood(target, attack, frame(SETTINGS, 0, 0, &[]))
}

pub(super) fn window_update(target: &str, attack: &AttackState) -> io::Result<()> {
    flood(target, attack, frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()))
}

pub(super) fn priority(target: &str, attack: &AttackState) -> io::Result<()> {
    flood(target, attack, frame(PRIORITY, 0, 1, &ON_STREAM_3))
}

pub(super) fn unknown_frames(target: &str, attack: &AttackState) -> io::Result<()> {
    flood(target, attack, frame(UNKNOWN_TYPE, 0, 0, b"unknown"))
}

fn flood(target: &str, attack: &AttackState, frame: Vec<u8>) -> io::Result<()> {
    let frames = frame.repeat(FRAMES);
    HostilePeer::connect(target, &[], attack)?.flood(|_| frames.clone())
}

pub(super) fn empty_data(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    peer.start_call(1, sample::PATH)?;
    peer.flood(|_| frame(DATA, 0, 1, &[]).repeat(FRAMES))
}

/// Each change of the initial window size changes the window of every open call.
pub(super) fn window_thrash(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    (0..MAX_CALLS).try_for_each(|call| peer.start_call(2 * call + 1, sample::PATH))?;
    let changes =
        [DEFAULT_WINDOW - 1, DEFAULT_WINDOW].map(|window| settings(&[INITIAL_WINDOW_SIZE, window]));
    let changes = changes.concat().repeat(FRAMES / 2);
    peer.flood(|_| changes.clone())
}

/// A frame of 1 MiB, which no server allows without SETTINGS_MAX_FRAME_SIZE.
pub(super) fn oversize_frame(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    peer.start_call(1, sample::PATH)?;
    peer.send(&frame(DATA, 0, 1, &[0; 1_024 * 1_024]))?;
    peer.hold()
}
