//! One turn of an HTTP/2 connection: one read, every call in it, one write. Then other connections
//! have their turns.
//!
//! The limit on the read shares a worker fairly. Without it, one poll of the h2 crate could read for
//! tens of milliseconds, and a burst of small messages would exceed h2's limit on small DATA frames
//! before any call could take one.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::Reason;
use h2::server::Connection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

use super::waker::TurnWaker;
use crate::grpc::connection_state::ConnectionState;
use crate::grpc::memory::{Held, STREAM_BYTES};
use crate::grpc::{Http2Calls, ReplyBytes, SentReplies};
use crate::net::io::{ConnectionIo, IoState, Readable};
use crate::net::transport::{DEFAULT_HEADER_TABLE_HELD_BYTES, HEADER_TABLE_HELD_BYTES, Transport};

/// Interval of the checks for replies that the peer does not accept.
const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What a turn reads while memory is short: about ten calls. In a burst, each connection has a turn before
/// the greediest are closed.
const SHORT_READ: Readable = Readable { bytes: 512, frames: 256 };

/// Bytes of one turn that are not counted until calls take them: [`CONNECTION_BYTES`] includes as much.
///
/// [`CONNECTION_BYTES`]: crate::config::CONNECTION_BYTES
const UNCOUNTED_READ_BYTES: u64 = 16 * 1_024;

/// Why a connection has ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Both sides have closed it.
    Closed,
    Failed(h2::Error),
    /// The peer reads nothing, not even within the deadline of a call.
    ReplyNotTaken,
}

/// A connection and its calls. Its turns are polled.
pub(super) struct Turns<'a, IO> {
    pub(super) h2: Connection<ConnectionIo<IO>, ReplyBytes>,
    pub(super) calls: Http2Calls,
    pub(super) sent: Rc<SentReplies>,
    pub(super) io: Rc<IoState>,
    pub(super) transport: &'a Transport,
    waker: Option<TurnWaker>,
    calls_accepted: u64,
    requests_rejected: u64,
    held: Held,
    /// The most streams that were open in a turn.
    max_streams: usize,
    has_unread_bytes: bool,
    /// Set while a reply waits for the peer.
    expiry_check: Option<Pin<Box<Sleep>>>,
}

impl<'a, IO: AsyncRead + AsyncWrite + Unpin> Turns<'a, IO> {
    pub(super) fn new(
        h2: Connection<ConnectionIo<IO>, ReplyBytes>,
        calls: Http2Calls,
        sent: Rc<SentReplies>,
        io: Rc<IoState>,
        transport: &'a Transport,
    ) -> Self {
        let held = calls.connection().memory().hold_fixed(0);
        Turns {
            h2,
            calls,
            sent,
            io,
            transport,
            waker: None,
            calls_accepted: 0,
            requests_rejected: 0,
            held,
            max_streams: 0,
            has_unread_bytes: false,
            expiry_check: None,
        }
    }

    /// Takes a turn. Completes when the connection has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let memory = self.transport.memory();
        let max_read = if memory.is_short() { SHORT_READ } else { self.transport.max_read };
        self.io.allow_read(max_read);
        let (read_bytes, open_calls) =
            (self.connection().read_bytes(), self.connection().open_calls());
        let calls_accepted = self.calls_accepted;
        let ended = self.run_calls(cx);
        if self.io.is_flushed() {
            self.sent.flushed();
        }
        let streams = open_calls + self.calls_accepted - calls_accepted;
        self.count_memory(self.connection().read_bytes() - read_bytes, streams);
        self.count_rejected();
        self.count_control_frames();
        if let Some(ended) = ended {
            return Poll::Ready(ended);
        }
        if self.io.has_withheld_read() || self.has_unread_bytes {
            cx.waker().wake_by_ref(); // after the tasks of the calls, which take the bytes
        }
        self.poll_expiry(cx)
    }

    fn connection(&self) -> &ConnectionState {
        self.calls.connection()
    }

    /// Closes all streams and sends GOAWAY, as far as the socket takes it at once.
    pub(super) async fn close(&mut self, reason: Reason) {
        self.h2.abrupt_shutdown(reason);
        poll_fn(|cx| {
            let _ = self.poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Runs the calls of one read as they are accepted, then writes their replies. Without the
    /// withheld writes, h2 would write the reply to one call before it accepts the next.
    fn run_calls(&mut self, cx: &Context<'_>) -> Option<Ended> {
        let arrived = Instant::now();
        let turn_waker = self.waker.get_or_insert_with(|| TurnWaker::new(cx.waker()));
        let waker = turn_waker.wakes(cx.waker());
        let mut cx = Context::from_waker(&waker);
        self.io.withhold_writes();
        loop {
            match self.h2.poll_accept(&mut cx) {
                Poll::Ready(Some(Ok(call))) => {
                    self.io.withhold_writes();
                    self.calls_accepted += 1;
                    turn_waker.mute_during(|| self.calls.start(call, arrived));
                }
                Poll::Ready(Some(Err(error))) => return Some(Ended::Failed(error)),
                Poll::Ready(None) => return Some(Ended::Closed),
                Poll::Pending => {
                    if !self.io.allow_writes() {
                        return None; // there was nothing to write, or it is written
                    }
                }
            }
        }
    }

    /// Counts what the connection holds after a turn: the bytes of a turn that read much, which the
    /// tasks of its calls take before the next; an incomplete header block; read buffers that the header
    /// table keeps; replies that have not left; and the tables of streams.
    fn count_memory(&mut self, read_bytes: u64, streams: u64) {
        self.max_streams = self.max_streams.max(streams as usize);
        let is_much = read_bytes >= UNCOUNTED_READ_BYTES;
        let unread_bytes = if is_much { read_bytes as usize } else { 0 };
        let max_table_bytes = if self.io.is_header_table_reduced() {
            HEADER_TABLE_HELD_BYTES
        } else {
            DEFAULT_HEADER_TABLE_HELD_BYTES
        };
        let table_bytes = (self.connection().read_bytes() as usize).min(max_table_bytes);
        let held = unread_bytes
            + self.io.header_block_bytes()
            + table_bytes
            + self.sent.bytes()
            + self.max_streams * STREAM_BYTES;
        self.held.set(held);
        self.has_unread_bytes = is_much;
    }

    /// Counts the requests that were read and not accepted, once h2 has handled all that were read.
    fn count_rejected(&mut self) {
        if !self.io.is_read_pending() {
            return;
        }
        let rejected = self.io.requests_read().saturating_sub(self.calls_accepted);
        let newly = rejected.saturating_sub(self.requests_rejected);
        if newly > 0 {
            self.requests_rejected = rejected;
            let connection = self.connection();
            self.transport.count_rejected(connection.peer(), newly);
            connection.requests_rejected(newly);
        }
    }

    fn count_control_frames(&self) {
        let frames = self.io.take_control_frames();
        if frames > 0 {
            self.connection().control_frames(frames);
        }
    }

    /// Resets the streams of expired replies. Completes if one expired that waits for the socket.
    fn poll_expiry(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if self.sent.is_empty() {
            self.expiry_check = None;
            return Poll::Pending;
        }
        let check = self.expiry_check.get_or_insert_with(|| Box::pin(sleep(EXPIRY_CHECK_INTERVAL)));
        ready!(check.as_mut().poll(cx));
        self.expiry_check = None;
        cx.waker().wake_by_ref(); // for the resets and the next check
        if self.sent.reset_expired(Instant::now()) {
            return Poll::Ready(Ended::ReplyNotTaken);
        }
        Poll::Pending
    }
}
