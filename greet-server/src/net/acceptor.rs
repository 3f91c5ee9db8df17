//! Accepts until told to stop, and leaves nobody in the kernel's queue: whoever got through before
//! the stop is still handed to a worker.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::close_log::ClosedLog;
use super::connection_limit::Admission;
use super::listener::{Accepted, Listener};
use super::tls::Tls;
use super::worker::Workers;
use crate::config::Limits;
use crate::lifecycle::phase::Phase;

/// First pause after a failed accept; doubled up to [`LONGEST_PAUSE`]. Out of descriptors, an
/// acceptor without a pause would spin at a full core (the figures are grpc-go's).
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Of the same trouble.
const TELL_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// What a connection passes on its way from a listener to a worker.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) admission: Arc<Admission>,
    pub(crate) tls: Option<watch::Receiver<Tls>>,
    pub(crate) workers: Workers,
    pub(crate) limits: Limits,
}

impl Acceptor {
    /// To the least loaded worker; or refused, which is to be closed without a word: a peer that is
    /// told to go before it has spoken would understand it no better.
    fn take(&self, connection: Accepted, log: &mut ClosedLog) {
        match self.admission.admit(connection.peer().ip()) {
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
    let mut log = ClosedLog::default();
    let mut pause = FIRST_PAUSE;
    let mut told: Option<Instant> = None;
    let stop = phase.wait_for(|phase| *phase >= Phase::Draining);
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
        };
        match accepted {
            Ok(connection) => {
                pause = FIRST_PAUSE;
                acceptor.take(connection, &mut log);
            }
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(%error, "a connection was gone before it was accepted");
            }
            Err(error) => {
                let now = Instant::now();
                if told.is_none_or(|told| now - told >= TELL_AT_MOST_EVERY) {
                    tracing::warn!(%error, ?pause, "could not accept");
                    told = Some(now);
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
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
