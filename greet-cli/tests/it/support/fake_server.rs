//! A server that answers calls with the HTTP/2 frames of a script.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use greet_testkit::framing::framed;
pub(crate) use greet_testkit::http2::{DATA, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame};
use greet_testkit::http2::{
    END_HEADERS, FRAME_HEADER_BYTES, Frame, PREFACE, header_block, settings,
};

use crate::support::listen_forever;

/// HEADERS of stream 1.
pub(crate) fn headers(flags: u8, headers: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, 1, &header_block(headers))
}

/// The headers of a reply.
pub(crate) fn head() -> Vec<u8> {
    headers(0, &[(":status", "200"), ("content-type", "application/grpc")])
}

/// The trailers of a reply.
pub(crate) fn trailers(trailers: &[(&str, &str)]) -> Vec<u8> {
    headers(END_STREAM, trailers)
}

pub(crate) fn data(message: &[u8]) -> Vec<u8> {
    frame(DATA, 0, 1, &framed(message))
}

/// Answers one request with `frames`, and keeps the connection open.
pub(crate) fn answer(frames: Vec<u8>) -> impl Fn(TcpStream) + Clone + Send + 'static {
    answer_each(vec![frames])
}

/// Answers one request after the other, each with its frames.
pub(crate) fn answer_each(answers: Vec<Vec<u8>>) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |mut stream| {
        start(&mut stream);
        for frames in &answers {
            if let Some(request) = wait_for_request(&mut stream) {
                let _ = stream.write_all(&on_stream(request, frames));
            }
        }
        listen_forever(stream);
    }
}

/// Waits for a whole request, then closes.
pub(crate) fn lose(mut stream: TcpStream) {
    start(&mut stream);
    wait_for_request(&mut stream);
}

/// Sends SETTINGS and reads the preface.
fn start(stream: &mut TcpStream) {
    let _ = stream.write_all(&settings(&[]));
    let _ = stream.read_exact(&mut [0; PREFACE.len()]);
}

/// The same frames, those of stream 1 moved to another stream.
fn on_stream(stream: u32, mut frames: &[u8]) -> Vec<u8> {
    let mut moved = Vec::new();
    while frames.len() >= FRAME_HEADER_BYTES {
        let Frame { kind, flags, stream: old, payload } = Frame::read(&mut frames).unwrap();
        moved.extend(frame(kind, flags, if old == 1 { stream } else { old }, &payload));
    }
    moved
}

/// Reads frames up to the end of a request and returns its stream. `None` if the peer closes first.
fn wait_for_request(stream: &mut TcpStream) -> Option<u32> {
    loop {
        let frame = Frame::read(stream).ok()?;
        if frame.kind <= HEADERS && frame.flags & END_STREAM != 0 {
            return Some(frame.stream);
        }
    }
}
