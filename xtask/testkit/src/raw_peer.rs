//! An asynchronous HTTP/2 client that sends only the frames that a test requests.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::http2::{
    ACK, DEFAULT_WINDOW, FRAME_HEADER_BYTES, Frame, INITIAL_WINDOW_SIZE, MAX_WINDOW, PING, PREFACE,
    SETTINGS, WINDOW_UPDATE, call, frame, settings,
};
use crate::{TEST_TIMEOUT, with_timeout};

/// Small beside the several MiB to which the system increases a buffer by itself, and enough for
/// fast reads.
const SLOW_BUFFER_BYTES: u32 = 64 * 1_024;

/// A connection over plaintext.
#[derive(Debug)]
pub struct RawPeer {
    /// The connection itself, for bytes that are not frames.
    pub tcp: TcpStream,
}

impl RawPeer {
    /// Sends the preface and empty SETTINGS, then waits for the server's SETTINGS.
    pub async fn connect(tcp: TcpStream) -> RawPeer {
        RawPeer::with_settings(tcp, &[]).await
    }

    /// Connects with `values`, which alternate identifiers and values.
    pub async fn with_settings(tcp: TcpStream, values: &[u32]) -> RawPeer {
        let mut peer = RawPeer { tcp };
        peer.send(&[PREFACE, &settings(values)].concat()).await;
        assert_eq!(peer.next_frame().await.kind, SETTINGS);
        peer
    }

    /// Connects to `HOST:PORT` with all windows open and a small buffer for what it receives. A
    /// reply of 8 MB blocks the server's writes until the peer reads.
    pub async fn slow(address: &str) -> RawPeer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SLOW_BUFFER_BYTES).unwrap();
        let tcp = socket.connect(address.parse().unwrap()).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut peer = RawPeer::with_settings(tcp, &[INITIAL_WINDOW_SIZE, MAX_WINDOW]).await;
        let update = (MAX_WINDOW - DEFAULT_WINDOW).to_be_bytes();
        peer.send(&frame(WINDOW_UPDATE, 0, 0, &update)).await;
        peer
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends bytes, or returns an error if the server has closed.
    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        with_timeout(self.tcp.write_all(bytes)).await
    }

    /// Starts a call. Without a message the request stays open.
    pub async fn call(&mut self, stream: u32, path: &str, message: Option<&[u8]>) {
        self.send(&call(stream, path, message)).await;
    }

    /// Reads a frame.
    pub async fn next_frame(&mut self) -> Frame {
        self.next_frame_within(TEST_TIMEOUT).await
    }

    /// Reads a frame, or panics when `limit` has passed.
    pub async fn next_frame_within(&mut self, limit: Duration) -> Frame {
        timeout(limit, self.read_frame()).await.expect("a frame should arrive").unwrap()
    }

    async fn read_frame(&mut self) -> io::Result<Frame> {
        let mut header = [0; FRAME_HEADER_BYTES];
        self.tcp.read_exact(&mut header).await?;
        let mut frame = Frame::from_header(header);
        self.tcp.read_exact(&mut frame.payload).await?;
        Ok(frame)
    }

    /// Reads up to the next frame of this type. Skips the acknowledgement of a PING.
    pub async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next_frame().await;
            if frame.kind == kind && (kind != PING || frame.flags & ACK == 0) {
                return frame;
            }
        }
    }

    /// Acknowledges the PING of a graceful shutdown.
    pub async fn pong(&mut self) {
        let ping = self.next_of(PING).await;
        self.send(&frame(PING, ACK, 0, &ping.payload)).await;
    }
}
