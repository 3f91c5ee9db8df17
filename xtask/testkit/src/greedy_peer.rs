//! A blocking HTTP/2 client that sends as much as the server's flow control allows and reads no reply,
//! for attacks on the memory and the capacity of a server.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::framing::framed;
use crate::http2::{
    DATA, DEFAULT_WINDOW, Frame, GOAWAY, INITIAL_WINDOW_SIZE, PREFACE, WINDOW_UPDATE, call, frame,
    settings,
};

/// Time after which a server that reads nothing, or gives no window, will not do so. A server that many
/// peers keep busy may take seconds.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of the checks whether an attack is over.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// The largest payload of a frame without SETTINGS_MAX_FRAME_SIZE.
const MAX_FRAME_BYTES: usize = 16_384;

/// A connection over plaintext.
#[derive(Debug)]
pub struct GreedyPeer {
    tcp: TcpStream,
    /// The rest of the connection's flow-control window.
    window: usize,
}

impl GreedyPeer {
    /// Connects to `http://HOST:PORT`, and gives each reply a window of `reply_window` bytes.
    pub fn connect(target: &str, reply_window: u32) -> io::Result<GreedyPeer> {
        let mut tcp = TcpStream::connect(target.trim_start_matches("http://"))?;
        tcp.set_read_timeout(Some(STALL_TIMEOUT))?;
        tcp.set_write_timeout(Some(STALL_TIMEOUT))?;
        tcp.set_nodelay(true)?;
        tcp.write_all(&[PREFACE, &settings(&[INITIAL_WINDOW_SIZE, reply_window])].concat())?;
        Ok(GreedyPeer { tcp, window: DEFAULT_WINDOW as usize })
    }

    /// Sends frames other than DATA.
    pub fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.tcp.write_all(frames)
    }

    /// Starts a call of `path`. Its request stays open.
    pub fn start_call(&mut self, stream: u32, path: &str) -> io::Result<()> {
        self.send(&call(stream, path, None))
    }

    /// Makes a complete call.
    pub fn call(&mut self, stream: u32, path: &str, message: &[u8]) -> io::Result<()> {
        self.take_window(framed(message).len())?;
        self.send(&call(stream, path, Some(message)))
    }

    /// Sends `data` in frames of at most `frame_bytes`, as soon as the connection's window allows.
    pub fn send_data(&mut self, stream: u32, data: &[u8], frame_bytes: usize) -> io::Result<()> {
        for part in data.chunks(MAX_FRAME_BYTES) {
            self.take_window(part.len())?;
            let frames = part.chunks(frame_bytes).flat_map(|bytes| frame(DATA, 0, stream, bytes));
            self.tcp.write_all(&frames.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Uses `bytes` of the connection's window, and waits until it has as many.
    fn take_window(&mut self, bytes: usize) -> io::Result<()> {
        while self.window < bytes {
            match Frame::read(&mut self.tcp)? {
                Frame { kind: GOAWAY, .. } => return Err(io::ErrorKind::ConnectionAborted.into()),
                Frame { kind: WINDOW_UPDATE, stream: 0, payload, .. } => {
                    let increment = payload.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
                    self.window += u32::from_be_bytes(increment) as usize;
                }
                _ => {}
            }
        }
        self.window -= bytes;
        Ok(())
    }

    /// Keeps the connection open until the server closes it, or until `is_over` is set.
    pub fn hold(mut self, is_over: &AtomicBool) -> io::Result<()> {
        self.tcp.set_read_timeout(Some(CHECK_INTERVAL))?;
        let mut ignored = [0; 4_096];
        while !is_over.load(Ordering::Relaxed) {
            match self.tcp.read(&mut ignored) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {} // the read timeout
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
