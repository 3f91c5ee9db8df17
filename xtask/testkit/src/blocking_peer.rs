//! A blocking HTTP/2 client that sends frames and nothing else: it acknowledges no SETTINGS,
//! answers no PING and closes no stream.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::http2::{DATA, END_STREAM, Frame, GOAWAY, HEADERS, PREFACE, RST_STREAM, call, settings};

/// Above the time of any reply. A slow server needs 10 s for a burst.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Time after which a server that accepts no bytes has stopped reading.
const WRITE_TIMEOUT: Duration = Duration::from_millis(300);

/// The error code of a stream that is reset without an error.
const NO_ERROR: [u8; 4] = [0; 4];

/// A connection over plaintext.
#[derive(Debug)]
pub struct BlockingPeer(TcpStream);

impl BlockingPeer {
    /// Connects to `http://HOST:PORT` and sends nothing.
    pub fn silent(target: &str) -> io::Result<BlockingPeer> {
        let stream = TcpStream::connect(target.trim_start_matches("http://"))?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(BlockingPeer(stream))
    }

    /// Sends the preface and SETTINGS, then waits for the server's SETTINGS.
    pub fn connect(target: &str) -> io::Result<BlockingPeer> {
        let mut peer = BlockingPeer::silent(target)?;
        peer.0.write_all(&[PREFACE, &settings(&[])].concat())?;
        Frame::read(&mut peer.0)?;
        Ok(peer)
    }

    /// Connects and starts a call on stream 1.
    pub fn calling(target: &str, path: &str, message: Option<&[u8]>) -> io::Result<BlockingPeer> {
        let mut peer = BlockingPeer::connect(target)?;
        peer.call(1, path, message)?;
        Ok(peer)
    }

    /// Starts a call. With a message it waits for the first DATA of the reply, without it the call
    /// stays open.
    pub fn call(&mut self, stream: u32, path: &str, message: Option<&[u8]>) -> io::Result<()> {
        self.0.write_all(&call(stream, path, message))?;
        while message.is_some() && Frame::read(&mut self.0)?.kind != DATA {}
        Ok(())
    }

    /// Starts `calls` calls at the same time on a fresh connection.
    pub fn start_calls(&mut self, calls: u32, path: &str, message: &[u8]) -> io::Result<()> {
        let requests = (0..calls).flat_map(|index| call(2 * index + 1, path, Some(message)));
        self.0.write_all(&requests.collect::<Vec<_>>())
    }

    /// Reads the replies to `calls` calls. A server may send RST_STREAM with NO_ERROR after a whole
    /// reply (RFC 9113, section 8.1); gRPC C++ does.
    pub fn finish_calls(&mut self, calls: u32) -> io::Result<()> {
        let mut open = calls;
        while open > 0 {
            let Frame { kind, flags, payload, .. } = Frame::read(&mut self.0)?;
            if kind == GOAWAY || kind == RST_STREAM && payload != NO_ERROR {
                return Err(io::Error::other(format!("{open} of {calls} calls had no reply")));
            }
            open -= u32::from(matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0);
        }
        Ok(())
    }

    /// Sends `frames` up to `times` times, until the server closes or stops reading, then closes.
    pub fn attack(mut self, frames: &[Vec<u8>], times: usize) -> io::Result<()> {
        self.0.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let bytes = frames.concat();
        for _ in 0..times {
            if self.0.write_all(&bytes).is_err() {
                break;
            }
        }
        Ok(())
    }
}
