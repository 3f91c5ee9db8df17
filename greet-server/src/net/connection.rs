//! The life of one connection: handshake, serve, drain, close; each step bounded.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::goaway::{self, Farewell};
use super::handshake::{Closed, Greeted, Spoken, in_time, is_drained, linger};
use super::http1;
use super::stream::Stream;
use super::streams::Streams;
use crate::config::Limits;
use crate::grpc::context::Traffic;
use crate::grpc::{Call, Rpc};
use crate::telemetry::metrics::close_reason::CloseCause;
use crate::telemetry::metrics::worker::Stats;

/// Resets of streams that wait to be accepted before the connection is told to calm down
/// (RUSTSEC-2023-0034, "rapid reset"). It is h2's default, held here so that no upgrade moves it.
const MAX_PENDING_ACCEPT_RESETS: usize = 20;

/// Resets that a peer may make us send, by breaking the protocol on its streams, over the life of a
/// connection (CVE-2025-8671, "MadeYouReset"). hyper's default, held here likewise.
const MAX_LOCAL_ERROR_RESETS: usize = 1_024;

/// SETTINGS_MAX_HEADER_LIST_SIZE: the size that the gRPC protocol suggests.
pub(super) const MAX_HEADER_LIST_BYTES: u32 = 8 * 1024;

/// Who is on the other end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    Unix,
}

impl Peer {
    pub(crate) fn ip(self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(address) => Some(address.ip().to_canonical()),
            Peer::Unix => None,
        }
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

/// What all connections of a worker have in common.
pub(crate) struct Transport {
    http2: http2::Builder<Streams>,
    streams: Streams,
    limits: Limits,
    rpc: Rc<Rpc>,
}

impl Transport {
    pub(crate) fn new(limits: Limits, rpc: Rpc) -> Transport {
        let streams = Streams::default();
        let mut http2 = http2::Builder::new(streams.clone());
        http2
            .max_concurrent_streams(limits.max_streams)
            .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESETS)
            .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.keepalive_interval)
            .keep_alive_timeout(limits.keepalive_timeout)
            .auto_date_header(false); // gRPC has no use for it, and it is a clock read a call
        let rpc = Rc::new(rpc);
        Transport { http2, streams, limits, rpc }
    }

    pub(crate) fn stats(&self) -> &Arc<Stats> {
        &self.rpc.stats
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn rpc(&self) -> &Rc<Rpc> {
        &self.rpc
    }

    /// What a connection may speak.
    pub(crate) fn spoken(&self) -> Spoken {
        if self.rpc.cors.is_some() { Spoken::Http1Too } else { Spoken::Http2 }
    }
}

/// Serves until the peer leaves, breaks a rule, or a drain (the end of `drained`) has finished.
/// Returns why we closed the connection, or `None` when the peer did or it was told to go in peace.
pub(crate) async fn serve<IO>(
    handshake: impl Future<Output = Result<Greeted<IO>, Closed>>,
    peer: Peer,
    transport: Rc<Transport>,
    mut drained: oneshot::Receiver<()>,
) -> Option<CloseCause>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let handshake_timeout = transport.limits.handshake_timeout;
    let handshake = in_time(handshake, handshake_timeout, is_drained(&mut drained));
    let Greeted { mut io, first_bytes, is_http2 } = match handshake.await {
        Ok(greeted) => greeted,
        Err(ended) => return ended,
    };
    let (traffic, patience) = Traffic::new(transport.stats().clone(), peer);
    let stream = Stream::new(first_bytes, &mut io, traffic.clone());
    let owed = (traffic, patience);
    let cause = match is_http2 {
        true => serve_http2(stream, owed, transport, &mut drained).await,
        false => http1::serve(stream, owed, transport, &mut drained).await,
    };
    if cause != Some(CloseCause::GoawayUnanswered) {
        linger(&mut io).await;
    }
    cause
}

async fn serve_http2<IO>(
    io: Stream<IO>,
    (traffic, patience): (Rc<Traffic>, oneshot::Receiver<()>),
    transport: Rc<Transport>,
    drained: &mut oneshot::Receiver<()>,
) -> Option<CloseCause>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let call = Call::new(transport.rpc.clone(), traffic.clone(), &request);
        transport.streams.expect(call.bound());
        call.answer(request)
    });
    let http2 = transport.http2.serve_connection(TokioIo::new(io), service);
    let mut http2 = pin!(http2);

    let (limits, streams) = (&transport.limits, &transport.streams);
    let farewell = tokio::select! {
        biased;
        served = streams.run_beside(http2.as_mut()) => return ended(served, None, traffic.peer()),
        () = is_drained(drained) => Farewell::Drain,
        () = goaway::is_old(limits.max_connection_age) => Farewell::Age,
        () = goaway::is_idle(limits.max_connection_idle, &traffic) => Farewell::Idle,
        _ = patience => Farewell::AbandonedCalls,
    };
    // GOAWAY and PING; once the PONG is back and the last call answered, hyper closes.
    http2.as_mut().graceful_shutdown();
    tokio::select! {
        biased; // what we send now is no sign of life of the peer's: it goes first
        served = streams.run_beside(http2) => ended(served, Some(farewell.cause()), traffic.peer()),
        () = goaway::is_unanswered(&traffic) => Some(CloseCause::GoawayUnanswered),
        cause = farewell.grace(limits) => Some(cause),
    }
}

/// The cause to count for the way in which HTTP/2 ended; `peaceful` if it ended well.
pub(super) fn ended(
    served: hyper::Result<()>,
    peaceful: Option<CloseCause>,
    peer: Peer,
) -> Option<CloseCause> {
    match served {
        Ok(()) => peaceful,
        Err(error) if error.is_timeout() => Some(CloseCause::KeepaliveTimeout),
        Err(error) if is_peer_gone(&error) => None,
        Err(error) => {
            let error = anyhow::Error::new(error);
            tracing::debug!(%peer, error = format!("{error:#}"), "HTTP/2 error");
            Some(CloseCause::ProtocolError)
        }
    }
}

/// A connection that the network or the peer cut: nothing that we closed.
fn is_peer_gone(error: &hyper::Error) -> bool {
    if error.is_incomplete_message() {
        return true; // over HTTP/1.1, in the middle of a request
    }
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<io::Error>() {
            return true;
        }
        source = error.source();
    }
    false
}
