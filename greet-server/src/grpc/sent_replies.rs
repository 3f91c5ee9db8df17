//! Follows the replies of a connection until they have left: a call is answered when the kernel has
//! its whole reply.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h2::{Reason, SendStream};
use tokio::time::Instant;

use super::in_flight::InFlight;
use super::memory::REPLY_BYTES;

/// Replies for which a connection keeps memory after a burst of calls.
const KEPT_CAPACITY: usize = 16;

/// Time for a reset to leave. A socket that takes none would keep the stream's memory.
const RESET_TIMEOUT: Duration = Duration::from_secs(1);

/// The replies of a connection that are complete, but maybe not sent.
#[derive(Default)]
pub(crate) struct SentReplies(RefCell<Vec<SentReply>>);

pub(super) struct SentReply {
    pub(super) call: Rc<InFlight>,
    /// The bytes that HTTP/2 holds of it.
    pub(super) bytes: usize,
    /// When the stream is reset if the peer has not opened its flow-control window for the reply.
    pub(super) expires_at: Instant,
    /// The stream of a reply that waits for the peer to open its flow-control window.
    pub(super) stream: Option<SendStream<ReplyBytes>>,
}

impl SentReplies {
    pub(super) fn push(&self, reply: SentReply) {
        self.0.borrow_mut().push(reply);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Returns the bytes of the replies that have not left.
    pub(crate) fn bytes(&self) -> usize {
        self.0.borrow().iter().map(|reply| REPLY_BYTES + reply.bytes).sum()
    }

    /// Ends the calls whose replies have left HTTP/2: it has dropped their bytes, and the kernel has
    /// what it wrote.
    pub(crate) fn flushed(&self) {
        let mut sent = self.0.borrow_mut();
        if sent.is_empty() {
            return;
        }
        let now = Instant::now();
        sent.retain(|reply| {
            let is_sent = Rc::strong_count(&reply.call) == 1;
            if is_sent {
                reply.call.answered(now);
            }
            !is_sent
        });
        sent.shrink_to(KEPT_CAPACITY);
    }

    /// Resets the streams whose replies have expired. Returns whether one has that waits for the
    /// socket: a reply that has its window, or a reset.
    pub(crate) fn reset_expired(&self, now: Instant) -> bool {
        let mut is_blocked = false;
        let mut sent = self.0.borrow_mut();
        for expired in sent.iter_mut().filter(|reply| reply.expires_at <= now) {
            match expired.stream.take() {
                Some(mut stream) => {
                    stream.send_reset(Reason::CANCEL);
                    expired.expires_at = now + RESET_TIMEOUT;
                }
                None => is_blocked = true,
            }
        }
        is_blocked
    }
}

/// Bytes of a reply. HTTP/2 drops them when it has copied or written them, or when the stream ends
/// without them. It holds its locks then, so the drop does nothing but count.
pub(crate) struct ReplyBytes {
    bytes: Bytes,
    call: Rc<InFlight>,
}

impl ReplyBytes {
    pub(super) fn new(bytes: Bytes, call: &Rc<InFlight>) -> ReplyBytes {
        ReplyBytes { bytes, call: call.clone() }
    }
}

impl Buf for ReplyBytes {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for ReplyBytes {
    fn drop(&mut self) {
        if self.bytes.has_remaining() {
            self.call.truncated();
        }
    }
}
