//! Accepts connections until the drain begins, including those that the kernel has completed by
//! then, and hands each to a worker.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::close_log::CloseLog;
use super::connection_limit::ConnectionLimit;
use super::listener::{Accepted, Listener};
use super::tls::Tls;
use super::worker::Workers;
use crate::config::Limits;
use crate::lifecycle::phase::Phase;
use crate::telemetry::rate_limit::LogRateLimiter;

/// First pause after a failed accept, doubled up to [`MAX_ACCEPT_BACKOFF`]; grpc-go has the same
/// figures. Without a pause, an acceptor that is out of file descriptors would use a whole core.
const INITIAL_ACCEPT_BACKOFF: Duration = Duration::from_millis(5);
const MAX_ACCEPT_BACKOFF: Duration = Duration::from_secs(1);
/// Interval between two lines about failed accepts.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// The stages between a listener and a worker.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) connection_limit: Arc<ConnectionLimit>,
    /// The certificate; `None` without one, and for a plaintext listener.
    pub(crate) tls: Option<watch::Receiver<Tls>>,
    pub(crate) workers: Workers,
    pub(crate) limits: Limits,
}

impl Acceptor {
    /// Hands a connection to the least loaded worker. A connection over the limit is closed without
    /// a GOAWAY, which a client that has sent no preface yet would not expect.
    fn dispatch(&self, connection: Accepted, log: &mut CloseLog) {
        match self.connection_limit.admit(connection.peer().ip()) {
            Ok(permit) => {
                connection.limit_buffers();
                connection.enable_keepalive(self.limits.keepalive_timeout);
                let connection = connection.with_tls(self.tls.as_ref());
                self.workers.least_loaded().serve(connection, permit);
            }
            Err(reason) => log.closed(connection.peer(), &reason.into()),
        }
    }
}

/// Accepts on `listener` until the drain begins.
pub(crate) async fn accept(
    listener: Listener,
    mut acceptor: Acceptor,
    mut phase: watch::Receiver<Phase>,
) {
    acceptor.tls.take_if(|_| listener.is_plaintext());
    let mut log = CloseLog::default();
    let mut backoff = INITIAL_ACCEPT_BACKOFF;
    let mut failures = LogRateLimiter::new(1, LINE_INTERVAL);
    let drain = phase.wait_for(|phase| *phase >= Phase::Draining);
    tokio::pin!(drain);
    loop {
        let accept = async {
            acceptor.workers.ready().await;
            listener.accept().await
        };
        let accepted = tokio::select! {
            accepted = accept => accepted,
            _ = &mut drain => break,
        };
        match accepted {
            Ok(connection) => {
                backoff = INITIAL_ACCEPT_BACKOFF;
                acceptor.dispatch(connection, &mut log);
            }
            Err(error) if is_aborted_connection(&error) => {
                tracing::debug!(%error, "connection aborted before accept");
            }
            Err(error) => {
                if let Some(suppressed) = failures.admit(Instant::now()) {
                    tracing::warn!(%error, suppressed, "accept failed");
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff) => {
                        backoff = (backoff * 2).min(MAX_ACCEPT_BACKOFF);
                    }
                    _ = &mut drain => break,
                }
            }
        }
    }
    match listener.close() {
        Ok(queue) => {
            for connection in queue {
                acceptor.dispatch(connection, &mut log);
            }
        }
        Err(error) => tracing::warn!(%error, "listener close failed"),
    }
}

/// Returns whether the peer closed the connection before the accept, while the listener works.
fn is_aborted_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
