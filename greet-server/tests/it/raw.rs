//! HTTP/2 by hand: a peer that does only what it is told to. It shares no code with the server.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, TestServer, soon};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

/// Identifier of the setting.
pub(crate) const INITIAL_WINDOW_SIZE: u32 = 4;
/// The error code, as a RST_STREAM carries it.
pub(crate) const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// What a graceful GOAWAY begins with: every stream may live.
pub(crate) const EVERY_STREAM: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A frame as it is on the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) struct RawPeer {
    pub(crate) tcp: TcpStream,
}

impl RawPeer {
    /// Sends preface and empty SETTINGS, and waits until the server is past its handshake.
    pub(crate) async fn connect(server: &TestServer) -> RawPeer {
        RawPeer::with_settings(server, &[]).await
    }

    /// `settings` is identifiers and values in turn.
    pub(crate) async fn with_settings(server: &TestServer, settings: &[u32]) -> RawPeer {
        let mut peer = RawPeer { tcp: server.tcp().await };
        let payload: Vec<u8> = settings
            .chunks(2)
            .flat_map(|one| [&one[0].to_be_bytes()[2..], &one[1].to_be_bytes()].concat())
            .collect();
        peer.send(&[PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()).await;
        assert_eq!(peer.next_frame().await.kind, SETTINGS);
        peer
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.unwrap();
    }

    /// An error if the server has closed.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        soon(self.tcp.write_all(bytes)).await
    }

    /// Begins a call, with its message if there is one; without, the call waits for it.
    pub(crate) async fn call(&mut self, stream: u32, path: &str, message: Option<&[u8]>) {
        self.send(&frame(HEADERS, END_HEADERS, stream, &call_headers(path))).await;
        if let Some(message) = message {
            let message = crate::support::framed(message);
            self.send(&frame(DATA, END_STREAM, stream, &message)).await;
        }
    }

    pub(crate) async fn next_frame(&mut self) -> Frame {
        self.next_frame_within(PATIENCE).await
    }

    pub(crate) async fn next_frame_within(&mut self, limit: Duration) -> Frame {
        timeout(limit, self.read_frame()).await.expect("a frame comes").unwrap()
    }

    async fn read_frame(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 9];
        self.tcp.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.tcp.read_exact(&mut payload).await?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this kind; what comes before it is not of interest.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next_frame().await;
            if frame.kind == kind && (kind != PING || frame.flags & ACK == 0) {
                return frame;
            }
        }
    }

    /// Answers the PING of a graceful shutdown.
    pub(crate) async fn pong(&mut self) {
        let ping = self.next_of(PING).await;
        self.send(&frame(PING, ACK, 0, &ping.payload)).await;
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

/// "Literal Header Field without Indexing, New Name" (RFC 7541, section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| {
        assert!(text.len() < 0x7f, "a longer one would need a second byte of length");
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    };
    [&[0][..], &string(name), &string(value)].concat()
}
