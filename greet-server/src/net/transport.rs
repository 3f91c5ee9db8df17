//! The settings of HTTP/2, and what else all connections of a worker share.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use h2::server::Builder;

use super::handshake::Protocols;
use super::io::Readable;
use crate::config::Limits;
use crate::grpc::Router;
use crate::grpc::connection_state::Peer;
use crate::grpc::memory::WorkerMemory;
use crate::telemetry::metrics::worker::WorkerMetrics;
use crate::telemetry::rate_limit::LogRateLimiter;

/// Maximum resets per connection that the peer provokes by errors on its streams. A call that is reset so
/// (CVE-2025-8671, "MadeYouReset") is abandoned as well, and that limit acts first; refused streams reach
/// this one. h2's default, stated here so that no upgrade changes it.
const MAX_LOCAL_ERROR_RESETS: usize = 1_024;

/// SETTINGS_MAX_HEADER_LIST_SIZE: the size that the gRPC protocol suggests.
pub(super) const MAX_HEADER_LIST_BYTES: u32 = 8 * 1024;

/// SETTINGS_HEADER_TABLE_SIZE: enough for the headers that gRPC clients repeat. An entry of h2's table
/// keeps the read buffer that it came in, so a table of the default size, 4096 bytes, would let a peer
/// make a connection hold 105 buffers.
const HEADER_TABLE_BYTES: u32 = 512;

/// What a header table can keep of read buffers, 8 KiB for each entry of at least 38 bytes.
pub(super) const HEADER_TABLE_HELD_BYTES: usize = 13 * 8 * 1_024;
/// The same for the table of a peer that has not reduced it.
pub(super) const DEFAULT_HEADER_TABLE_HELD_BYTES: usize = 107 * 8 * 1_024;

/// Minimum flow-control window of a stream: that of HTTP/2 without SETTINGS.
const MIN_STREAM_WINDOW_BYTES: usize = 65_535;

/// Minimum flow-control window of a connection. Requests are taken from HTTP/2 as they arrive, so it
/// bounds only what one read leaves unread; half of it is h2's limit on small DATA frames.
const MIN_CONNECTION_WINDOW_BYTES: usize = 1024 * 1024;

/// What one turn reads, and up to one read of h2 (8 KiB) more: about a hundred calls, or large frames
/// that take as long to copy.
pub(super) const MAX_READ: Readable = Readable { bytes: 512 * 1_024, frames: 256 };

/// Interval between two lines about rejected requests.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Transport {
    pub(super) http2: Builder,
    pub(super) limits: Limits,
    pub(super) router: Rc<Router>,
    pub(super) max_read: Readable,
    rejected_log: RefCell<LogRateLimiter>,
}

impl Transport {
    pub(crate) fn new(limits: Limits, router: Router) -> Transport {
        // Room for two messages: h2 sends a WINDOW_UPDATE when half of the window is used, and no unary
        // call should wait for one.
        let message_bytes = limits.max_message_bytes + greet_proto::framing::PREFIX_BYTES;
        let stream_window = window((2 * message_bytes).max(MIN_STREAM_WINDOW_BYTES));
        let connection_window = window(MIN_CONNECTION_WINDOW_BYTES).max(stream_window);
        // h2 closes a connection over one of these. An honest client may cancel all of its calls at
        // once; the limit on abandoned calls bounds what a hostile one gains by it.
        let max_resets = limits.max_streams as usize;
        let mut http2 = Builder::new();
        http2
            .max_concurrent_streams(limits.max_streams)
            .max_pending_accept_reset_streams(max_resets)
            .max_concurrent_reset_streams(max_resets)
            .max_local_error_reset_streams(Some(MAX_LOCAL_ERROR_RESETS))
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .header_table_size(HEADER_TABLE_BYTES)
            .initial_window_size(stream_window)
            .initial_connection_window_size(connection_window);
        let rejected_log = RefCell::new(LogRateLimiter::new(1, LINE_INTERVAL));
        Transport { http2, limits, router: Rc::new(router), max_read: MAX_READ, rejected_log }
    }

    pub(crate) fn metrics(&self) -> &Arc<WorkerMetrics> {
        &self.router.state.metrics
    }

    pub(crate) fn memory(&self) -> &WorkerMemory {
        &self.router.state.memory
    }

    pub(crate) fn protocols(&self) -> Protocols {
        if self.router.cors.is_some() { Protocols::Http2AndHttp1 } else { Protocols::Http2 }
    }

    /// Counts requests that HTTP/2 has rejected, and logs them.
    pub(super) fn count_rejected(&self, peer: Peer, requests: u64) {
        self.metrics().requests_rejected.add(requests);
        if let Some(suppressed) = self.rejected_log.borrow_mut().admit(Instant::now()) {
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::info!(%peer, requests, suppressed, "requests rejected by HTTP/2");
        }
    }
}

impl Drop for Transport {
    /// Logs how many lines were suppressed since the last one.
    fn drop(&mut self) {
        let suppressed = self.rejected_log.get_mut().take_suppressed();
        if suppressed > 0 {
            tracing::info!(suppressed, "requests rejected by HTTP/2");
        }
    }
}

/// Returns a window size; the configuration keeps message sizes far below the maximum of 2^31-1.
fn window(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a message is far below 2 GiB")
}
