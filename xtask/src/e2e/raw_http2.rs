//! HTTP/2 by hand, for peers that no library would let us be: frames of a few lines, and no code
//! that the programs under test use.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context as _;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

/// A connection whose peer does only what it is told to, and otherwise nothing: it acknowledges no
/// SETTINGS, answers no PING and closes no stream.
#[derive(Debug)]
pub(crate) struct Peer(TcpStream);

impl Peer {
    /// Connects and says nothing.
    pub(crate) fn silent(target: &str) -> anyhow::Result<Peer> {
        let address = target.strip_prefix("http://").context("the target is not a TCP address")?;
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        Ok(Peer(stream))
    }

    /// Sends the preface and waits for the server's SETTINGS: it is past its handshake.
    pub(crate) fn mute(target: &str) -> anyhow::Result<Peer> {
        let mut peer = Peer::silent(target)?;
        peer.0.write_all(PREFACE)?;
        peer.send(SETTINGS, 0, 0, &[])?;
        peer.skip_frame()?;
        Ok(peer)
    }

    /// A peer that has begun a call on stream 1.
    pub(crate) fn calling(
        target: &str,
        path: &str,
        message: Option<&[u8]>,
    ) -> anyhow::Result<Peer> {
        let mut peer = Peer::mute(target)?;
        peer.call(1, path, message)?;
        Ok(peer)
    }

    /// Begins a call of `path`, with its message if there is one; without, the call waits for it for
    /// ever. Returns once the server has answered, if it will.
    pub(crate) fn call(
        &mut self,
        stream: u32,
        path: &str,
        message: Option<&[u8]>,
    ) -> anyhow::Result<()> {
        let block = call_headers(path);
        self.send(HEADERS, END_HEADERS, stream, &block)?;
        if let Some(message) = message {
            let length = u32::try_from(message.len())?.to_be_bytes();
            self.send(DATA, END_STREAM, stream, &[&[0][..], &length, message].concat())?;
            self.read_until_data()?;
        }
        Ok(())
    }

    /// Sends frames as they stand until the server has had enough: it has closed, or it reads no more.
    /// Then leaves.
    pub(crate) fn attack(mut self, frames: &[Vec<u8>], times: usize) -> anyhow::Result<()> {
        self.0.set_write_timeout(Some(Duration::from_millis(300)))?;
        let bytes = frames.concat();
        for _ in 0..times {
            if self.0.write_all(&bytes).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> anyhow::Result<()> {
        Ok(self.0.write_all(&frame(kind, flags, stream, payload))?)
    }

    fn read_until_data(&mut self) -> anyhow::Result<()> {
        while self.skip_frame()? != DATA {}
        Ok(())
    }

    /// Reads a frame and returns its kind.
    fn skip_frame(&mut self) -> anyhow::Result<u8> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        std::io::copy(&mut (&self.0).take(length.into()), &mut std::io::sink())?;
        Ok(head[3])
    }
}

/// The header block that a call of `path` begins with.
pub(crate) fn call_headers(path: &str) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    headers.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// A frame as it is on the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames here are short");
    let [_, length @ ..] = length.to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// "Literal Header Field without Indexing, New Name" (RFC 7541, section 6.2.2), not Huffman-coded.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| {
        let length = u8::try_from(text.len()).expect("headers here are short");
        assert!(length < 0x7f, "a longer one would need a second byte of length");
        [&[length], text.as_bytes()].concat()
    };
    [&[0][..], &string(name), &string(value)].concat()
}
