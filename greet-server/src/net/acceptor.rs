//! Accepts until told to stop, and leaves nobody in the kernel's queue: whoever got through before
//! the stop is still handed to a worker.

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

/// First pause after a failed accept; doubled up to [`MAX_ACCEPT_BACKOFF`]. Out of descriptors, an
/// acceptor without a pause would spin at a full core (the figures are grpc-go's).
const INITIAL_ACCEPT_BACKOFF: Duration = Duration::from_millis(5);
const MAX_ACCEPT_BACKOFF: Duration = Duration::from_secs(1);
/// Between two lines about failed accepts.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// What a connection passes on its way from a listener to a worker.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) connection_limit: Arc<ConnectionLimit>,
    pub(crate) tls: Option<watch::Receiver<Tls>>,
    pub(crate) workers: Workers,
    pub(crate) limits: Limits,
}

impl Acceptor {
    /// To the least loaded worker; or refused, which is to be closed without a word: a peer that is
    /// told to go before it has spoken would understand it no better.
    fn take(&self, connection: Accepted, log: &mut CloseLog) {
        match self.connection_limit.admit(connection.peer().ip()) {
            Ok(permit) => {
                connection.watch(self.limits.keepalive_timeout);
                let connection = connection.secured(self.tls.as_ref());
                self.workers.least_loaded().serve(connection, permit);
            }
            Err(cause) => log.closed(connection.peer(), cause),
        }
    }
}

/// Hands every connection of `listener` to the least loaded worker until the drain begins.
pub(crate) async fn accept(
    listener: Listener,
    acceptor: Acceptor,
    mut phase: watch::Receiver<Phase>,
) {
    let mut log = CloseLog::default();
    let mut pause = INITIAL_ACCEPT_BACKOFF;
    let mut failures = LogRateLimiter::new(1, LINE_INTERVAL);
    let stop = phase.wait_for(|phase| *phase >= Phase::Draining);
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
        };
        match accepted {
            Ok(connection) => {
                pause = INITIAL_ACCEPT_BACKOFF;
                acceptor.take(connection, &mut log);
            }
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(%error, "a connection was gone before it was accepted");
            }
            Err(error) => {
                if let Some(suppressed) = failures.admit(Instant::now()) {
                    tracing::warn!(%error, suppressed, "could not accept");
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(MAX_ACCEPT_BACKOFF),
                    _ = &mut stop => break,
                }
            }
        }
    }
    match listener.close() {
        Ok(queue) => {
            for connection in queue {
                acceptor.take(connection, &mut log);
            }
        }
        Err(error) => tracing::warn!(%error, "could not empty the queue of a listener"),
    }
}

/// The peer gave up between connecting and our accept; the listener itself is fine.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
