//! The properties of what parses the bytes of a connection: preface, frame heads, and both versions of
//! HTTP as a whole.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use clap::Parser as _;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, ReadBuf, join};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::connection::{self, Opened};
use super::handshake::{Protocols, may_be_http1, negotiate_plaintext};
use super::http2::frame_heads::FrameHeads;
use super::preface::{self, PrefaceError};
use super::transport::Transport;
use crate::config::{Config, WebConfig};
use crate::flags::Flags;
use crate::fuzzing::READ_SIZES;
use crate::grpc::connection_state::Peer;
use crate::grpc::memory::MemoryLimit;
use crate::server::Server;
use crate::services;

const MAGIC: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Preface, frame head, and the longest first frame.
const MAX_HELD_BYTES: usize = MAGIC.len() + 9 + 16_384;
/// Above the time of any input: a connection whose peer has closed it ends at once. Below the timeouts of calls
/// and handshakes, which would end a connection that hangs.
const HANG_TIMEOUT: Duration = Duration::from_secs(5);

/// The first bytes of a connection: HTTP/2, another protocol, or too few, however they are split.
pub fn preface(data: &[u8]) {
    let results = READ_SIZES.map(|size| {
        let mut peer = Chunks { data, size };
        let result = preface::read(&mut peer).now_or_never().expect("every byte has arrived");
        let received = &data[..data.len() - peer.data.len()];
        match result {
            Ok(bytes) => {
                assert_eq!(bytes, received, "every byte is replayed");
                assert!(bytes.starts_with(MAGIC) && bytes[MAGIC.len() + 3] == 4);
                assert!(size > 1 || bytes.len() <= MAX_HELD_BYTES, "{} bytes", bytes.len());
                "HTTP/2"
            }
            Err(PrefaceError::NotHttp2(bytes)) => {
                assert_eq!(bytes, received, "every byte is replayed");
                assert!(size > 1 || bytes.len() <= MAGIC.len() + 9, "{} bytes", bytes.len());
                if may_be_http1(&bytes) { "HTTP/1.1" } else { "another protocol" }
            }
            Err(PrefaceError::PeerClosed) => "incomplete",
        }
    });
    assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
}

/// The counts of the frames of a connection do not depend on the sizes of its reads, and each frame
/// that is counted has arrived.
pub fn frame_heads(data: &[u8]) {
    let counts = READ_SIZES.map(|size| {
        let mut heads = FrameHeads::default();
        let frames: u64 = data.chunks(size).map(|chunk| heads.skip_frames(chunk)).sum();
        assert!(heads.header_block_bytes() <= data.len());
        (
            frames,
            heads.requests(),
            heads.take_control_frames(),
            heads.header_block_bytes(),
            heads.is_header_table_reduced(),
        )
    });
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    let (frames, requests, ..) = counts[0];
    assert!(frames <= data.len() as u64 / 9 && requests <= frames);
}

/// A connection of any protocol: it ends when its peer has closed it, and then no call is in flight, every
/// call that started has ended once, no request is counted twice, and nothing is held.
pub fn connection(data: &[u8]) {
    FIXTURE.with(|fixture| {
        for size in READ_SIZES {
            fixture.serve(data, size);
        }
    });
}

thread_local! {
    /// Lives as long as the process: its runtime must not be dropped with the variables of a thread.
    static FIXTURE: &'static Fixture = Box::leak(Box::new(Fixture::new()));
}

/// A worker that serves one connection after the other, on streams of bytes.
struct Fixture {
    runtime: Runtime,
    transport: Rc<Transport>,
    memory: Arc<MemoryLimit>,
}

impl Fixture {
    fn new() -> Fixture {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let web = Some(WebConfig { origins: Vec::new() });
        let config = Config { listen: Vec::new(), web, ..Config::default() };
        let limits = config.limits;
        let services = services::all(&Flags::parse_from(["greet-server"]));
        let server = runtime.block_on(Server::bind(config, services)).expect("no address to bind");
        let memory = MemoryLimit::new(limits.memory_limit.as_u64(), 1);
        let router = (server.make_router(memory.clone()))();
        let transport = Rc::new(Transport::new(limits, router));
        Fixture { runtime, transport, memory }
    }

    /// Serves a peer that sends `data` in chunks of this size, then closes its side.
    fn serve(&self, data: &[u8], size: usize) {
        let metrics = self.transport.metrics();
        let ended = || metrics.calls_answered.get() + metrics.calls_abandoned.get();
        let started = || metrics.calls.started_total() + metrics.not_grpc.get();
        let requests = || ended() + metrics.requests_rejected.get();
        let (started_before, requests_before) = (started(), requests());
        let (ended_before, mut replies) = (ended(), Vec::new());
        let peer = join(Chunks { data, size }, &mut replies);
        let (opened, _drain) = Opened::new(Peer::Unix, false, self.transport.memory());
        let handshake = negotiate_plaintext(peer, Protocols::Http2AndHttp1);
        let served = connection::serve(handshake, opened, self.transport.clone());
        let served = async { timeout(HANG_TIMEOUT, LocalSet::new().run_until(served)).await };
        self.runtime.block_on(served).expect("the connection should end with its peer");

        assert_eq!(metrics.calls_in_flight.get(), 0);
        assert_eq!(self.memory.held(), 0, "the connection has ended");
        assert_eq!(ended() - ended_before, started() - started_before, "calls ended and started");
        if data.starts_with(MAGIC) && !replies.is_empty() {
            let mut heads = FrameHeads::default();
            heads.skip_frames(data);
            let (counted, sent) = (requests() - requests_before, heads.requests());
            assert!(counted <= sent, "{counted} requests are counted of {sent}");
            assert!(whole_frames(&replies) > 0);
        }
    }
}

/// Returns the number of frames in bytes that the server has sent.
fn whole_frames(mut bytes: &[u8]) -> usize {
    let mut frames = 0;
    while let Some(([high, middle, low], rest)) = bytes.split_first_chunk::<3>() {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        bytes = rest.get(6 + length..).expect("the server sends whole frames");
        frames += 1;
    }
    assert!(bytes.is_empty(), "the server sends whole frames");
    frames
}

/// A peer whose bytes arrive in chunks of a size.
struct Chunks<'a> {
    data: &'a [u8],
    size: usize,
}

impl AsyncRead for Chunks<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let length = self.data.len().min(self.size).min(buf.remaining());
        let (chunk, rest) = self.data.split_at(length);
        buf.put_slice(chunk);
        self.data = rest;
        Poll::Ready(Ok(()))
    }
}
