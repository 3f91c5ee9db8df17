//! What all connections of a worker have in common, and what the end of one counts as.

use std::io;
use std::sync::Arc;

use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;

use super::handshake::Protocols;
use super::streams::Streams;
use crate::config::Limits;
use crate::grpc::Router;
use crate::grpc::connection_state::Peer;
use crate::telemetry::metrics::close_reason::CloseReason;
use crate::telemetry::metrics::worker::WorkerMetrics;

/// Resets of streams that wait to be accepted before the connection is told to calm down
/// (RUSTSEC-2023-0034, "rapid reset"). It is h2's default, held here so that no upgrade moves it.
const MAX_PENDING_ACCEPT_RESETS: usize = 20;

/// Resets that a peer may make us send, by breaking the protocol on its streams, over the life of a
/// connection (CVE-2025-8671, "MadeYouReset"). hyper's default, held here likewise.
const MAX_LOCAL_ERROR_RESETS: usize = 1_024;

/// SETTINGS_MAX_HEADER_LIST_SIZE: the size that the gRPC protocol suggests.
pub(super) const MAX_HEADER_LIST_BYTES: u32 = 8 * 1024;

/// What all connections of a worker have in common.
pub(crate) struct Transport {
    pub(super) http2: http2::Builder<Streams>,
    pub(super) streams: Streams,
    pub(super) limits: Limits,
    pub(super) router: Router,
}

impl Transport {
    pub(crate) fn new(limits: Limits, router: Router) -> Transport {
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
        Transport { http2, streams, limits, router }
    }

    pub(crate) fn metrics(&self) -> &Arc<WorkerMetrics> {
        &self.router.state.metrics
    }

    /// What a connection may speak.
    pub(crate) fn spoken(&self) -> Protocols {
        if self.router.state.cors.is_some() { Protocols::Http1Too } else { Protocols::Http2 }
    }
}

/// The cause to count for the way in which HTTP/2 ended; `peaceful` if it ended well.
pub(super) fn ended(
    served: hyper::Result<()>,
    peaceful: Option<CloseReason>,
    peer: Peer,
) -> Option<CloseReason> {
    match served {
        Ok(()) => peaceful,
        Err(error) if error.is_timeout() => Some(CloseReason::KeepaliveTimeout),
        Err(error) if is_peer_gone(&error) => None,
        Err(error) => {
            let error = anyhow::Error::new(error);
            tracing::debug!(%peer, error = format!("{error:#}"), "HTTP/2 error");
            Some(CloseReason::ProtocolError)
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
