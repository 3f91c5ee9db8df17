//! A server of a few lines that speaks HTTP/2 by hand and answers what it is told to.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::listen_forever;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;

pub(crate) const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

const PREFACE_BYTES: usize = 24;

/// A frame as it is on the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS of stream 1, as literals that are not indexed (RFC 7541, section 6.2.2).
pub(crate) fn headers(flags: u8, headers: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let literal = |(name, value): &(&str, &str)| [&[0][..], &string(name), &string(value)].concat();
    let block: Vec<u8> = headers.iter().flat_map(literal).collect();
    frame(HEADERS, flags | END_HEADERS, 1, &block)
}

/// The headers that a reply begins with.
pub(crate) fn head() -> Vec<u8> {
    headers(0, &[(":status", "200"), ("content-type", "application/grpc")])
}

/// The trailers that a reply ends with.
pub(crate) fn trailers(trailers: &[(&str, &str)]) -> Vec<u8> {
    headers(END_STREAM, trailers)
}

pub(crate) fn data(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    frame(DATA, 0, 1, &[&[0][..], &length, message].concat())
}

/// Sends SETTINGS, waits for a whole request, answers with `frames`, and keeps the connection open.
pub(crate) fn answer(frames: Vec<u8>) -> impl Fn(TcpStream) + Clone + Send + 'static {
    answer_each(vec![frames])
}

/// Answers one request after the other, each with its frames.
pub(crate) fn answer_each(answers: Vec<Vec<u8>>) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |mut stream| {
        let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[]));
        let _ = stream.read_exact(&mut [0; PREFACE_BYTES]);
        for frames in &answers {
            if let Some(request) = wait_for_request(&mut stream) {
                let _ = stream.write_all(&on_stream(request, frames));
            }
        }
        listen_forever(stream);
    }
}

/// The same frames, those of stream 1 on another.
fn on_stream(stream: [u8; 4], mut frames: &[u8]) -> Vec<u8> {
    let mut moved = Vec::new();
    while let Some((head, rest)) = frames.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let is_of_a_stream = head[5..] == [0, 0, 0, 1];
        moved.extend_from_slice(&head[..5]);
        moved.extend_from_slice(if is_of_a_stream { &stream } else { &head[5..] });
        moved.extend_from_slice(&rest[..length]);
        frames = &rest[length..];
    }
    moved
}

/// Sends SETTINGS, waits for a whole request, and is gone.
pub(crate) fn lose(mut stream: TcpStream) {
    let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[]));
    let _ = stream.read_exact(&mut [0; PREFACE_BYTES]);
    wait_for_request(&mut stream);
}

/// Reads frames up to the end of a request, and returns its stream; `None` if the peer leaves before.
fn wait_for_request(stream: &mut TcpStream) -> Option<[u8; 4]> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).ok()?;
        if head[3] <= HEADERS && head[4] & END_STREAM != 0 {
            return Some([head[5], head[6], head[7], head[8]]);
        }
    }
}
