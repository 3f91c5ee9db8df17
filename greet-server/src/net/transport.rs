//! The settings that all connections of a worker share, and the close reason for hyper's errors.

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

/// Maximum reset streams that are not accepted yet; then GOAWAY with ENHANCE_YOUR_CALM
/// (RUSTSEC-2023-0034, "rapid reset"). It is h2's default, stated here so that no upgrade changes it.
const MAX_PENDING_ACCEPT_RESETS: usize = 20;

/// Maximum resets per connection that the peer provokes by protocol errors on its streams
/// (CVE-2025-8671, "MadeYouReset"). It is hyper's default, stated here likewise.
const MAX_LOCAL_ERROR_RESETS: usize = 1_024;

/// SETTINGS_MAX_HEADER_LIST_SIZE: the size that the gRPC protocol suggests.
pub(super) const MAX_HEADER_LIST_BYTES: u32 = 8 * 1024;

/// The settings and the router of a worker's connections.
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
            .auto_date_header(false); // gRPC does not use it, and it costs a clock read per call
        Transport { http2, streams, limits, router }
    }

    pub(crate) fn metrics(&self) -> &Arc<WorkerMetrics> {
        &self.router.state.metrics
    }

    pub(crate) fn protocols(&self) -> Protocols {
        if self.router.state.cors.is_some() { Protocols::Http2AndHttp1 } else { Protocols::Http2 }
    }
}

/// Returns why a connection ended; `graceful` if without an error.
pub(super) fn close_reason(
    served: hyper::Result<()>,
    graceful: Option<CloseReason>,
    peer: Peer,
) -> Option<CloseReason> {
    match served {
        Ok(()) => graceful,
        Err(error) if error.is_timeout() => Some(CloseReason::KeepaliveTimeout),
        Err(error) if is_closed_by_peer(&error) => None,
        Err(error) => {
            let error = anyhow::Error::new(error);
            tracing::debug!(%peer, error = format!("{error:#}"), "HTTP/2 error");
            Some(CloseReason::ProtocolError)
        }
    }
}

/// Returns whether the peer or the network closed the connection.
fn is_closed_by_peer(error: &hyper::Error) -> bool {
    if error.is_incomplete_message() {
        return true; // in the middle of a request over HTTP/1.1
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
