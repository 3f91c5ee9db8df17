//! The life of one connection: handshake, serve, drain, close; each step bounded.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout, timeout_at};

use super::preface::{self, PrefaceError};
use super::stream::Stream;
use crate::config::Limits;
use crate::rpc::{Call, Rpc};
use crate::stats::{CloseCause, Stats};
use crate::traffic::Traffic;

/// How long an idle peer may leave the GOAWAY's PING unanswered before the drain stops waiting for
/// it (grpc-go waits as long). It loses nothing: no call is open.
const GOAWAY_PATIENCE: Duration = Duration::from_secs(5);

/// How long a peer that is in its handshake when the drain begins may take to finish it: its first
/// bytes may be in the socket already, and with them a call.
const DRAINED_HANDSHAKE_PATIENCE: Duration = Duration::from_millis(500);

/// How long a peer may take to close its side after we closed ours. It is about to: it has the GOAWAY.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Resets of streams that wait to be accepted before the connection is told to calm down
/// (RUSTSEC-2023-0034, "rapid reset"). It is h2's default, held here so that no upgrade moves it.
const MAX_PENDING_ACCEPT_RESETS: usize = 20;

/// Resets that a peer may make us send, by breaking the protocol on its streams, over the life of a
/// connection (CVE-2025-8671, "MadeYouReset"). hyper's default, held here likewise.
const MAX_LOCAL_ERROR_RESETS: usize = 1_024;

/// SETTINGS_MAX_HEADER_LIST_SIZE: the size that the gRPC protocol suggests.
const MAX_HEADER_LIST_BYTES: u32 = 8 * 1024;

/// Who is on the other end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Unix => write!(f, "unix"),
        }
    }
}

/// What all connections of a worker have in common.
pub(crate) struct Transport {
    http2: http2::Builder<LocalExecutor>,
    executor: LocalExecutor,
    limits: Limits,
    rpc: Rc<Rpc>,
}

impl Transport {
    pub(crate) fn new(limits: Limits, rpc: Rpc) -> Transport {
        let executor = LocalExecutor::default();
        let mut http2 = http2::Builder::new(executor.clone());
        http2
            .max_concurrent_streams(limits.max_streams)
            .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESETS)
            .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .auto_date_header(false); // gRPC has no use for it, and it is a clock read a call
        let rpc = Rc::new(rpc);
        Transport { http2, executor, limits, rpc }
    }

    pub(crate) fn stats(&self) -> &Arc<Stats> {
        &self.rpc.stats
    }
}

/// Serves until the peer leaves, breaks a rule, or a drain (the end of `drained`) has finished.
/// Returns why we closed the connection, or `None` when the peer did or it was told to go in peace.
pub(crate) async fn serve<IO>(
    io: io::Result<IO>,
    peer: Peer,
    transport: Rc<Transport>,
    mut drained: oneshot::Receiver<()>,
) -> Option<CloseCause>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut io = match io {
        Ok(io) => io,
        Err(error) => {
            tracing::error!(%peer, %error, "could not register a connection with its worker");
            return None;
        }
    };
    let first_bytes = match handshake(&mut io, &transport.limits, &mut drained).await {
        Ok(first_bytes) => first_bytes,
        Err(cause) => return cause,
    };
    let traffic = Traffic::new(transport.stats().clone());
    let stream = Stream::new(first_bytes, &mut io, traffic.clone());
    let cause = serve_http2(stream, peer, traffic, transport, &mut drained).await;
    if cause != Some(CloseCause::GoawayUnanswered) {
        linger(&mut io).await;
    }
    cause
}

/// The peer's first bytes, in time; or why the connection ends here.
async fn handshake<IO: AsyncRead + Unpin>(
    io: &mut IO,
    limits: &Limits,
    drained: &mut oneshot::Receiver<()>,
) -> Result<Bytes, Option<CloseCause>> {
    let mut preface = pin!(preface::read(io));
    let first_bytes = tokio::select! {
        first_bytes = timeout(limits.handshake_timeout, preface.as_mut()) => {
            first_bytes.map_err(|_elapsed| Some(CloseCause::HandshakeTimeout))?
        }
        () = is_drained(drained) => {
            let first_bytes = timeout(DRAINED_HANDSHAKE_PATIENCE, preface).await;
            first_bytes.map_err(|_elapsed| Some(CloseCause::DrainedInHandshake))?
        }
    };
    first_bytes.map_err(|error| match error {
        PrefaceError::NotHttp2 => Some(CloseCause::NotHttp2),
        PrefaceError::Gone => None,
    })
}

async fn serve_http2<IO>(
    io: Stream<IO>,
    peer: Peer,
    traffic: Rc<Traffic>,
    transport: Rc<Transport>,
    drained: &mut oneshot::Receiver<()>,
) -> Option<CloseCause>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let call = Call::new(transport.rpc.clone(), traffic.clone(), &request);
        transport.executor.expect(call.over());
        async { Ok::<_, Infallible>(call.answer(request).await) }
    });
    let http2 = transport.http2.serve_connection(TokioIo::new(io), service);
    let mut http2 = pin!(http2);

    let served = tokio::select! {
        biased;
        served = http2.as_mut() => served,
        () = is_drained(drained) => {
            // GOAWAY and PING; once the PONG is back and the last call answered, hyper closes.
            http2.as_mut().graceful_shutdown();
            tokio::select! {
                biased; // what we send now is no sign of life of the peer's: it goes first
                served = http2 => served,
                () = unanswered(&traffic) => return Some(CloseCause::GoawayUnanswered),
            }
        }
    };
    match served {
        Ok(()) => None,
        Err(error) if is_peer_gone(&error) => None,
        Err(error) => {
            tracing::debug!(%peer, error = format!("{:#}", anyhow::Error::new(error)), "HTTP/2 error");
            Some(CloseCause::ProtocolError)
        }
    }
}

/// Completes once the drain has begun; asked again, it says so again.
async fn is_drained(drained: &mut oneshot::Receiver<()>) {
    if !drained.is_terminated() {
        let _ = drained.await; // the worker drops its end, which is an error and the signal
    }
}

/// Reads on, and throws away, until the peer has closed too. Closing on unread bytes makes the kernel
/// send a reset, and a reset takes with it what the peer has not received yet: the last replies, and
/// the GOAWAY that says which calls were never taken.
async fn linger<IO: AsyncRead + Unpin>(io: &mut IO) {
    let _ = timeout(LINGER_TIMEOUT, tokio::io::copy(io, &mut tokio::io::sink())).await;
}

/// Completes when a connection that was told to go owes its peer nothing, has seen nothing move for
/// a while, and has still not gone.
async fn unanswered(traffic: &Traffic) {
    loop {
        let moved_bytes = traffic.moved_bytes();
        tokio::time::sleep(GOAWAY_PATIENCE).await;
        if traffic.is_idle() && traffic.moved_bytes() == moved_bytes {
            return;
        }
    }
}

/// A connection that the network or the peer cut: nothing that we closed.
fn is_peer_gone(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<io::Error>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Runs streams as tasks of the worker's own runtime, each for as long as its call may take.
///
/// hyper asks for the service's future and hands the stream that drives it to the executor in one
/// go, so what was expected last is what comes next.
#[derive(Debug, Default, Clone)]
struct LocalExecutor {
    over: Rc<Cell<Option<Instant>>>,
}

impl LocalExecutor {
    /// The next stream must have ended by then.
    fn expect(&self, over: Option<Instant>) {
        self.over.set(over);
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, stream: F) {
        match self.over.take() {
            // Dropped where it stands, a stream is reset (RST_STREAM, CANCEL).
            Some(over) => drop(spawn_local(async move { drop(timeout_at(over, stream).await) })),
            None => drop(spawn_local(stream)),
        }
    }
}
