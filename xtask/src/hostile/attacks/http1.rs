//! HTTP/1.1, on the port of gRPC-Web and on the admin port.

use std::io;
use std::time::Duration;

use greet_testkit::{AttackState, HostilePeer};

use crate::harness::sample;

const DRIP_INTERVAL: Duration = Duration::from_millis(500);
/// Requests and chunks that are sent at once.
const BATCH: usize = 100;
/// The prefix of a message of `CHUNKS` bytes, as a chunk.
const PREFIX_CHUNK: &[u8] = b"5\r\n\0\0\0\x03\xe8\r\n";
/// Few, so that a debug build reads them within a short timeout.
const CHUNKS: usize = 1_000;
const CHUNK: &[u8] = b"1\r\nx\r\n";

/// Returns the head of a call over gRPC-Web; `length` is the header with the length of its body.
fn head(length: &str) -> Vec<u8> {
    let path = sample::PATH;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/grpc-web+proto\r\n{length}\r\n\r\n"
    );
    head.into_bytes()
}

/// A header that never ends ("slowloris").
pub(super) fn slow_headers(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = HostilePeer::open(target, attack)?;
    peer.send(b"GET /metrics HTTP/1.1\r\nhost: test\r\nx: ")?;
    peer.drip(&[b'x'; 1_000], DRIP_INTERVAL)
}

/// A message that does not arrive in time.
pub(super) fn slow_body(target: &str, attack: &AttackState) -> io::Result<()> {
    let mut peer = start_chunked(target, attack)?;
    for _ in 1..CHUNKS {
        peer.send(CHUNK)?;
        peer.pause(DRIP_INTERVAL)?;
    }
    Ok(())
}

/// The body goes on after the message.
pub(super) fn endless_body(target: &str, attack: &AttackState) -> io::Result<()> {
    let chunks = CHUNK.repeat(BATCH);
    start_chunked(target, attack)?.flood(|_| chunks.clone())
}

fn start_chunked<'a>(target: &str, attack: &'a AttackState) -> io::Result<HostilePeer<'a>> {
    let mut peer = HostilePeer::open(target, attack)?;
    peer.send(&[&head("transfer-encoding: chunked")[..], PREFIX_CHUNK].concat())?;
    Ok(peer)
}

/// Requests without end, whose replies are not read.
pub(super) fn pipelining(target: &str, attack: &AttackState) -> io::Result<()> {
    let requests = [&head("content-length: 5")[..], &[0; 5]].concat().repeat(BATCH);
    let mut peer = HostilePeer::open(target, attack)?;
    peer.stop_reading();
    peer.flood(|_| requests.clone())
}

pub(super) fn scrapes(target: &str, attack: &AttackState) -> io::Result<()> {
    while !attack.is_over() {
        let mut peer = HostilePeer::open(target, attack)?;
        peer.send(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n")?;
        peer.wait_for_reply()?;
    }
    Ok(())
}
