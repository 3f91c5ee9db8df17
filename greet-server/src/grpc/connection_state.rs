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

/// The state that all parts of a connection share, on one thread.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    metrics: Arc<WorkerMetrics>,
    peer: Peer,
    client_certificate: Option<Arc<CertificateDer<'static>>>,
    /// Calls without a complete reply.
    open_calls: Cell<u64>,
    calls_started: Cell<u64>,
    /// Calls that count against a limit of concurrent calls, by their kind.
    admitted_calls: [Cell<u64>; CallKind::ALL.len()],
    read_bytes: Cell<u64>,
    written_bytes: Cell<u64>,
    abuse: RefCell<AbuseLimits>,
    memory: Arc<ConnectionMemory>,
    close: Rc<CloseSignal>,
}

/// Lets other tasks close a connection with ENHANCE_YOUR_CALM.
#[derive(Debug)]
pub(crate) struct CloseSignal(RefCell<Option<oneshot::Sender<CloseReason>>>);

impl CloseSignal {
    /// The receiver gets the reason when the connection has to close at once.
    pub(crate) fn new() -> (Rc<CloseSignal>, oneshot::Receiver<CloseReason>) {
        let (close, closing) = oneshot::channel();
        (Rc::new(CloseSignal(RefCell::new(Some(close)))), closing)
    }

    /// Closes the connection at its next turn. The first reason counts.
    pub(crate) fn close(&self, reason: CloseReason) {
        if let Some(close) = self.0.borrow_mut().take() {
            let _ = close.send(reason); // fails if the connection is closing already
        }
    }
}

impl ConnectionState {
    pub(crate) fn new(
        metrics: Arc<WorkerMetrics>,
        peer: Peer,
        client_certificate: Option<CertificateDer<'static>>,
        memory: Arc<ConnectionMemory>,
        close: Rc<CloseSignal>,
    ) -> Rc<ConnectionState> {
        Rc::new(ConnectionState {
            metrics,
            peer,
            client_certificate: client_certificate.map(Arc::new),
            open_calls: Cell::default(),
            calls_started: Cell::default(),
            admitted_calls: Default::default(),
            read_bytes: Cell::default(),
            written_bytes: Cell::default(),
            abuse: RefCell::new(AbuseLimits::new(Instant::now())),
            memory,
            close,
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

    /// Counts the end of a call as answered, or as abandoned without its whole reply.
    pub(crate) fn call_ended(&self, is_answered: bool) {
        self.open_calls.set(self.open_calls.get() - 1);
        self.metrics.calls_in_flight.subtract(1);
        if is_answered {
            self.metrics.calls_answered.add(1);
        } else {
            self.metrics.calls_abandoned.add(1);
            if self.abuse.borrow_mut().call_abandoned(Instant::now()) {
                self.close.close(CloseReason::AbandonedCalls);
            }
        }
    }

    /// Counts requests that HTTP/2 has rejected.
    pub(crate) fn requests_rejected(&self, requests: u64) {
        if self.abuse.borrow_mut().requests_rejected(requests, Instant::now()) {
            self.close.close(CloseReason::RejectedRequests);
        }
    }

    /// Counts control frames of the peer.
    pub(crate) fn control_frames(&self, frames: u64) {
        let (calls, bytes, now) = (self.calls_started(), self.written_bytes.get(), Instant::now());
        if self.abuse.borrow_mut().control_frames(frames, calls, bytes, now) {
            self.close.close(CloseReason::ControlFrames);
        }
    }
}
