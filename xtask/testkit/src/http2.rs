//! HTTP/2 frames as bytes (RFC 9113, section 6), and header blocks without Huffman coding.

#![expect(missing_docs, reason = "frame types and flags have their names from the RFC")]

use std::io::{self, Read};

/// The client connection preface.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The length of a frame header.
pub const FRAME_HEADER_BYTES: usize = 9;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// The identifier of SETTINGS_INITIAL_WINDOW_SIZE.
pub const INITIAL_WINDOW_SIZE: u32 = 4;
/// The flow-control window of a connection, and of a stream without SETTINGS.
pub const DEFAULT_WINDOW: u32 = 65_535;
/// The largest flow-control window.
pub const MAX_WINDOW: u32 = 0x7fff_ffff;
/// The error code CANCEL as RST_STREAM carries it.
pub const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// The last stream identifier of a graceful GOAWAY: no stream is refused yet.
pub const EVERY_STREAM: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];

/// A received frame.
#[derive(Debug)]
pub struct Frame {
    /// The frame type.
    pub kind: u8,
    /// The flags.
    pub flags: u8,
    /// The stream identifier.
    pub stream: u32,
    /// The bytes after the frame header.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Reads one frame.
    pub fn read(reader: &mut impl Read) -> io::Result<Frame> {
        let mut header = [0; FRAME_HEADER_BYTES];
        reader.read_exact(&mut header)?;
        let mut frame = Frame::from_header(header);
        reader.read_exact(&mut frame.payload)?;
        Ok(frame)
    }

    /// Decodes a frame header. The payload has its length and is zero.
    pub(crate) fn from_header(header: [u8; FRAME_HEADER_BYTES]) -> Frame {
        let [a, b, c, kind, flags, stream @ ..] = header;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Frame { kind, flags, stream: u32::from_be_bytes(stream), payload: vec![0; length] }
    }
}

/// Encodes a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Encodes SETTINGS; `settings` alternates identifiers and values.
pub fn settings(settings: &[u32]) -> Vec<u8> {
    let setting = |pair: &[u32]| [&pair[0].to_be_bytes()[2..], &pair[1].to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &settings.chunks(2).flat_map(setting).collect::<Vec<_>>())
}

/// Encodes a header block of literals without indexing (RFC 7541, section 6.2.2).
pub fn header_block(headers: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| {
        assert!(text.len() < 0x7f, "a longer string needs a second byte of length");
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    };
    let literal = |(name, value): &(&str, &str)| [&[0][..], &string(name), &string(value)].concat();
    headers.iter().flat_map(literal).collect()
}

/// Encodes the request headers of a call of `path`.
pub fn call_headers(path: &str) -> Vec<u8> {
    header_block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ])
}

/// Encodes the frames of a call of `path`. Without a message the request stays open.
pub fn call(stream: u32, path: &str, message: Option<&[u8]>) -> Vec<u8> {
    let mut frames = frame(HEADERS, END_HEADERS, stream, &call_headers(path));
    if let Some(message) = message {
        frames.extend(frame(DATA, END_STREAM, stream, &crate::framing::framed(message)));
    }
    frames
}
