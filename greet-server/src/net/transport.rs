//! The settings that all connections of a worker share, and the close reason for hyper's errors.

use std::error::Error;
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
/// (RUSTSEC-2023-0034, "rapid reset"). h2's default, stated here so that no upgrade changes it.
const MAX_PENDING_ACCEPT_RESETS: usize = 20;

/// Maximum resets per connection that the peer provokes by protocol errors on its streams
/// (CVE-2025-8671, "MadeYouReset"). hyper's default, stated here for the same reason.
const MAX_LOCAL_ERROR_RESETS: usize = 1_024;

/// SETTINGS_MAX_HEADER_LIST_SIZE: the size that the gRPC protocol suggests.
pub(super) const MAX_HEADER_LIST_BYTES: u32 = 8 * 1024;

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

/// Returns why the daemon closed a connection: `graceful` without an error. `None` if the peer did.
pub(super) fn close_reason(
    served: hyper::Result<()>,
    graceful: Option<CloseReason>,
    peer: Peer,
) -> Option<CloseReason> {
    let error = match served {
        Ok(()) => return graceful,
        Err(error) if error.is_timeout() => return Some(CloseReason::KeepaliveTimeout),
        // The peer closed the connection in the middle of a request over HTTP/1.1.
        Err(error) if error.is_incomplete_message() => return None,
        Err(error) => anyhow::Error::new(error),
    };
    if error.chain().any(<dyn Error>::is::<io::Error>) {
        return None; // the peer or the network closed the connection
    }
    tracing::debug!(%peer, error = format!("{error:#}"), "connection failed");
    Some(CloseReason::ProtocolError)
}
