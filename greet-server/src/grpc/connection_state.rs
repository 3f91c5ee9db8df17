//! The state of one connection: its peer, calls in flight, transferred bytes. Calls and the I/O
//! update it; the connection reads it to decide when to close.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use super::abuse::AbuseLimits;
use super::memory::ConnectionMemory;
use crate::telemetry::metrics::close_reason::CloseReason;
use crate::telemetry::metrics::worker::{CallKind, WorkerMetrics};

/// The other side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The address of a TCP peer.
    Tcp(SocketAddr),
    /// A peer on a Unix socket, which has no address.
    Unix,
}

impl Peer {
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Peer::Tcp(address) => Some(address),
            Peer::Unix => None,
        }
    }

    pub(crate) fn ip(self) -> Option<IpAddr> {
        self.address().map(|address| address.ip().to_canonical())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Unix => write!(f, "unix"),
        }
    }
}

/// Lets a connection send its GOAWAY and finish. The worker and the connection share it.
#[derive(Debug, Clone)]
pub(crate) struct GoawayTrigger(Rc<RefCell<Option<oneshot::Sender<()>>>>);

impl GoawayTrigger {
    /// The receiver gets a value for a fault; a drain drops the sender.
    pub(crate) fn new() -> (GoawayTrigger, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (GoawayTrigger(Rc::new(RefCell::new(Some(sender)))), receiver)
    }

    pub(crate) fn drain(&self) {
        drop(self.0.borrow_mut().take());
    }

    /// Returns whether this is the first signal.
    fn inject(&self) -> bool {
        self.0.borrow_mut().take().is_some_and(|sender| sender.send(()).is_ok())
    }
}

/// How a call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallEnd {
    /// The kernel has the whole reply.
    Answered,
    /// A stream ended after its first message. A client has no other way to end a Watch.
    StreamCancelled,
    /// Without its reply, after a fault rule has reset or delayed it.
    FaultInjected,
    /// Without its reply.
    Abandoned,
}

/// The state that all parts of a connection share, on one thread.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    metrics: Arc<WorkerMetrics>,
    peer: Peer,
    client_certificate: Option<Arc<CertificateDer<'static>>>,
    /// Calls without a complete reply.
    open_calls: Cell<u64>,
    calls_started: Cell<u64>,
    calls_answered: Cell<u64>,
    /// Messages to the peer of calls with streams.
    stream_messages: Cell<u64>,
    /// Calls that count against a limit of concurrent calls, by their kind.
    admitted_calls: [Cell<u64>; CallKind::ALL.len()],
    read_bytes: Cell<u64>,
    written_bytes: Cell<u64>,
    abuse: RefCell<AbuseLimits>,
    memory: Arc<ConnectionMemory>,
    goaway: GoawayTrigger,
}

impl ConnectionState {
    pub(crate) fn new(
        metrics: Arc<WorkerMetrics>,
        peer: Peer,
        client_certificate: Option<CertificateDer<'static>>,
        memory: Arc<ConnectionMemory>,
        goaway: GoawayTrigger,
    ) -> Rc<ConnectionState> {
        Rc::new(ConnectionState {
            metrics,
            peer,
            client_certificate: client_certificate.map(Arc::new),
            open_calls: Cell::default(),
            calls_started: Cell::default(),
            calls_answered: Cell::default(),
            stream_messages: Cell::default(),
            admitted_calls: Default::default(),
            read_bytes: Cell::default(),
            written_bytes: Cell::default(),
            abuse: RefCell::new(AbuseLimits::new(Instant::now())),
            memory,
            goaway,
        })
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    pub(crate) fn client_certificate(&self) -> Option<&Arc<CertificateDer<'static>>> {
        self.client_certificate.as_ref()
    }

    pub(crate) fn memory(&self) -> &Arc<ConnectionMemory> {
        &self.memory
    }

    /// Sends a GOAWAY, by a fault rule. Returns false if one was due before.
    pub(super) fn send_goaway(&self) -> bool {
        self.goaway.inject()
    }

    /// Returns the calls without a complete reply.
    pub(crate) fn open_calls(&self) -> u64 {
        self.open_calls.get()
    }

    /// Returns whether no call is in flight: the kernel has all replies.
    pub(crate) fn is_idle(&self) -> bool {
        self.open_calls.get() == 0
    }

    pub(crate) fn calls_started(&self) -> u64 {
        self.calls_started.get()
    }

    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes.get()
    }

    /// Returns the number of bytes read and written so far.
    pub(crate) fn transferred_bytes(&self) -> u64 {
        self.read_bytes.get() + self.written_bytes.get()
    }

    pub(crate) fn add_read(&self, bytes: usize) {
        self.read_bytes.set(self.read_bytes.get() + bytes as u64);
    }

    pub(crate) fn add_written(&self, bytes: usize) {
        self.written_bytes.set(self.written_bytes.get() + bytes as u64);
    }

    pub(crate) fn call_started(&self) {
        self.open_calls.set(self.open_calls.get() + 1);
        self.calls_started.set(self.calls_started.get() + 1);
        self.metrics.calls_in_flight.add(1);
    }

    pub(crate) fn admitted_calls(&self, kind: CallKind) -> u64 {
        self.admitted_calls[kind as usize].get()
    }

    pub(crate) fn call_admitted(&self, kind: CallKind) {
        let calls = &self.admitted_calls[kind as usize];
        calls.set(calls.get() + 1);
        self.metrics.admitted_calls(kind).add(1);
    }

    /// Counts the end of an admitted call.
    pub(crate) fn call_released(&self, kind: CallKind) {
        let calls = &self.admitted_calls[kind as usize];
        calls.set(calls.get() - 1);
        self.metrics.admitted_calls(kind).subtract(1);
    }

    pub(crate) fn call_ended(&self, end: CallEnd) {
        self.open_calls.set(self.open_calls.get() - 1);
        self.metrics.calls_in_flight.subtract(1);
        if end == CallEnd::Answered {
            self.metrics.calls_answered.add(1);
            self.calls_answered.set(self.calls_answered.get() + 1);
        } else {
            self.metrics.calls_abandoned.add(1);
        }
        if end == CallEnd::Abandoned {
            let answered = self.calls_answered.get();
            if self.abuse.borrow_mut().call_abandoned(answered, Instant::now()) {
                self.memory.close(CloseReason::AbandonedCalls);
            }
        }
    }

    pub(crate) fn stream_message_sent(&self) {
        self.stream_messages.set(self.stream_messages.get() + 1);
    }

    /// Counts requests that HTTP/2 has rejected.
    pub(crate) fn requests_rejected(&self, requests: u64) {
        if self.abuse.borrow_mut().requests_rejected(requests, Instant::now()) {
            self.memory.close(CloseReason::RejectedRequests);
        }
    }

    /// Counts control frames of the peer.
    pub(crate) fn control_frames(&self, frames: u64) {
        let calls = self.calls_started() + self.stream_messages.get();
        let (bytes, now) = (self.written_bytes.get(), Instant::now());
        if self.abuse.borrow_mut().control_frames(frames, calls, bytes, now) {
            self.memory.close(CloseReason::ControlFrames);
        }
    }
}
