//! One connection of an attacker: it sends any bytes, opens no window and acknowledges nothing, until the
//! attack is over or the server closes the connection.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::framing::framed;
use crate::http2::{
    DATA, DEFAULT_WINDOW, END_STREAM, FRAME_HEADER_BYTES, Frame, HEADERS, PREFACE, RST_STREAM,
    WINDOW_UPDATE, call, frame, settings,
};

/// Above the time in which a server on the same machine accepts, unless its queue is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval of the checks whether an attack is over.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Pause of a peer whose bytes the server does not read. Hundreds of them must not use a core.
const BLOCKED_INTERVAL: Duration = Duration::from_millis(10);
const READ_BYTES: usize = 16 * 1_024;
/// The largest payload of a frame without SETTINGS_MAX_FRAME_SIZE.
const MAX_FRAME_BYTES: usize = 16_384;

/// An attack by many peers at the same time: whether it is over, and what they have done so far.
#[derive(Debug, Default)]
pub struct AttackState {
    is_over: AtomicBool,
    connections: AtomicU64,
    sent_bytes: AtomicU64,
}

impl AttackState {
    /// Makes the peers stop.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Returns whether the peers have to stop.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Returns the number of connections that were opened.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes that were sent over all connections.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }
}

/// A connection over TCP. Each method fails when the server has closed it, and when the attack is over.
#[derive(Debug)]
pub struct HostilePeer<'a> {
    tcp: TcpStream,
    attack: &'a AttackState,
    is_blocking: bool,
    is_reading: bool,
    /// Whether the server has sent anything.
    has_reply: bool,
    /// The start of a frame of HTTP/2; `None` for other protocols.
    unparsed: Option<Vec<u8>>,
    /// The rest of the connection's flow-control window.
    window: usize,
    /// The streams that the server has ended or reset.
    ended_streams: u32,
}

impl<'a> HostilePeer<'a> {
    /// Connects to `http://IP:PORT` or `https://IP:PORT`, and sends nothing.
    pub fn open(target: &str, attack: &'a AttackState) -> io::Result<HostilePeer<'a>> {
        let (_, address) = target.split_once("//").unwrap_or_default();
        let address: SocketAddr = address.parse().map_err(|_| ErrorKind::InvalidInput)?;
        let tcp = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        attack.connections.fetch_add(1, Ordering::Relaxed);
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(CHECK_INTERVAL))?;
        tcp.set_nonblocking(true)?;
        let window = DEFAULT_WINDOW as usize;
        Ok(HostilePeer {
            tcp,
            attack,
            is_blocking: false,
            is_reading: true,
            has_reply: false,
            unparsed: None,
            window,
            ended_streams: 0,
        })
    }

    /// Connects, and sends the HTTP/2 preface and SETTINGS; `values` alternates identifiers and values.
    pub fn connect(
        target: &str,
        values: &[u32],
        attack: &'a AttackState,
    ) -> io::Result<HostilePeer<'a>> {
        let mut peer = HostilePeer::open(target, attack)?;
        peer.unparsed = Some(Vec::new());
        peer.send(&[PREFACE, &settings(values)].concat())?;
        Ok(peer)
    }

    /// Leaves what the server sends in the buffers of the system.
    pub fn stop_reading(&mut self) {
        self.is_reading = false;
    }

    /// Sends bytes, and reads what has arrived meanwhile.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.set_blocking(false)?;
        while !bytes.is_empty() {
            self.ensure_not_over()?;
            self.read_once()?;
            match self.tcp.write(bytes) {
                Ok(written) => {
                    self.attack.sent_bytes.fetch_add(written as u64, Ordering::Relaxed);
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::park_timeout(BLOCKED_INTERVAL);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends what `round` returns for 0, 1, 2 and so on.
    pub fn flood(&mut self, round: impl FnMut(u32) -> Vec<u8>) -> io::Result<()> {
        (0..=u32::MAX).map(round).try_for_each(|bytes| self.send(&bytes))
    }

    /// Sends one byte per interval.
    pub fn drip(&mut self, bytes: &[u8], interval: Duration) -> io::Result<()> {
        for byte in bytes.chunks(1) {
            self.send(byte)?;
            self.pause(interval)?;
        }
        Ok(())
    }

    /// Waits, and reads what has arrived meanwhile.
    pub fn pause(&mut self, interval: Duration) -> io::Result<()> {
        thread::park_timeout(interval);
        self.set_blocking(false)?;
        self.read_once()
    }

    /// Starts a call of `path`. Its request stays open.
    pub fn start_call(&mut self, stream: u32, path: &str) -> io::Result<()> {
        self.send(&call(stream, path, None))
    }

    /// Makes a complete call, as soon as the connection's window allows.
    pub fn call(&mut self, stream: u32, path: &str, message: &[u8]) -> io::Result<()> {
        self.take_window(framed(message).len())?;
        self.send(&call(stream, path, Some(message)))
    }

    /// Sends `data` in frames of at most `frame_bytes`, as soon as the connection's window allows.
    pub fn send_data(&mut self, stream: u32, data: &[u8], frame_bytes: usize) -> io::Result<()> {
        for part in data.chunks(MAX_FRAME_BYTES) {
            self.take_window(part.len())?;
            let frames = part.chunks(frame_bytes).map(|bytes| frame(DATA, 0, stream, bytes));
            self.send(&frames.collect::<Vec<_>>().concat())?;
        }
        Ok(())
    }

    /// Waits until the server has ended or reset `streams` streams in all.
    pub fn wait_for_ended_streams(&mut self, streams: u32) -> io::Result<()> {
        self.wait_until(|peer| peer.ended_streams >= streams)
    }

    /// Waits for the first bytes from the server.
    pub fn wait_for_reply(&mut self) -> io::Result<()> {
        self.wait_until(|peer| peer.has_reply)
    }

    /// Keeps the connection open.
    pub fn hold(mut self) -> io::Result<()> {
        self.wait_until(|_| false)
    }

    /// Uses `bytes` of the connection's window, and waits until it has as many.
    fn take_window(&mut self, bytes: usize) -> io::Result<()> {
        self.wait_until(|peer| peer.window >= bytes)?;
        self.window -= bytes;
        Ok(())
    }

    fn wait_until(&mut self, is_met: impl Fn(&Self) -> bool) -> io::Result<()> {
        while !is_met(self) {
            self.ensure_not_over()?;
            self.set_blocking(true)?;
            self.read_once()?;
        }
        Ok(())
    }

    fn ensure_not_over(&self) -> io::Result<()> {
        if self.attack.is_over() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    fn set_blocking(&mut self, is_blocking: bool) -> io::Result<()> {
        if self.is_blocking != is_blocking {
            self.tcp.set_nonblocking(!is_blocking)?;
            self.is_blocking = is_blocking;
        }
        Ok(())
    }

    /// Reads what has arrived; a blocking connection waits for it up to [`CHECK_INTERVAL`].
    fn read_once(&mut self) -> io::Result<()> {
        if !self.is_reading {
            return Ok(());
        }
        let mut received = [0; READ_BYTES];
        match self.tcp.read(&mut received) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.has_reply = true;
                self.count_frames(&received[..length]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn count_frames(&mut self, received: &[u8]) {
        let Some(mut unparsed) = self.unparsed.take() else { return };
        unparsed.extend_from_slice(received);
        let mut rest = &unparsed[..];
        while let Ok(frame) = Frame::read(&mut &*rest) {
            rest = &rest[FRAME_HEADER_BYTES + frame.payload.len()..];
            match frame.kind {
                WINDOW_UPDATE if frame.stream == 0 => {
                    let increment = frame.payload.try_into().unwrap_or_default();
                    self.window += u32::from_be_bytes(increment) as usize;
                }
                RST_STREAM => self.ended_streams += 1,
                DATA | HEADERS if frame.flags & END_STREAM != 0 => self.ended_streams += 1,
                _ => {}
            }
        }
        self.unparsed = Some(rest.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = format!("http://{}", listener.local_addr().unwrap());
        (listener, target)
    }

    #[test]
    fn connections_and_sent_bytes_of_all_peers_are_counted() {
        let (_listener, target) = listen();
        let attack = AttackState::default();
        let mut peer = HostilePeer::open(&target, &attack).unwrap();
        peer.send(b"one").unwrap();
        HostilePeer::open(&target, &attack).unwrap().send(b"two").unwrap();
        assert_eq!((attack.connections(), attack.sent_bytes()), (2, 6));
    }

    #[test]
    fn hold_ends_when_the_server_closes_the_connection() {
        let (listener, target) = listen();
        let attack = AttackState::default();
        let peer = HostilePeer::open(&target, &attack).unwrap();
        drop(listener.accept().unwrap());
        assert_eq!(peer.hold().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn flood_of_a_server_that_does_not_read_ends_with_the_attack() {
        let (listener, target) = listen();
        let attack = AttackState::default();
        let mut peer = HostilePeer::connect(&target, &[], &attack).unwrap();
        let accepted = listener.accept().unwrap();
        let error = thread::scope(|scope| {
            let flood = scope.spawn(|| peer.flood(|_| vec![0; 1_024 * 1_024]));
            attack.end();
            flood.join().unwrap().unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(accepted);
    }

    #[test]
    fn streams_that_the_server_ends_or_resets_are_counted() {
        let (listener, target) = listen();
        let attack = AttackState::default();
        let mut peer = HostilePeer::connect(&target, &[], &attack).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let frames = [
            frame(HEADERS, 0, 1, b"head"),
            frame(HEADERS, END_STREAM, 1, b"trailers"),
            frame(RST_STREAM, 0, 3, &[0; 4]),
            frame(DATA, END_STREAM, 5, b""),
        ];
        for byte in frames.concat() {
            server.write_all(&[byte]).unwrap();
        }
        peer.wait_for_ended_streams(3).unwrap();
        assert_eq!(peer.ended_streams, 3);
    }
}
