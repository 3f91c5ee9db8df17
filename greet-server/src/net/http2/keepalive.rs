//! Finds peers that do not answer: a PING after an interval without any byte from the peer, and a
//! close if no byte follows it (gRFC A8).
//!
//! It ends with the GOAWAY of a graceful shutdown: h2 sends no other PING while that of the shutdown
//! is unanswered, and the shutdown has its own timeout.

use std::task::{Context, Waker};

use h2::{Ping, PingPong};
use tokio::time::sleep;

use crate::config::Limits;
use crate::grpc::connection_state::ConnectionState;

/// Completes when the peer has not answered a PING within `--keepalive-timeout`.
pub(super) async fn unanswered(
    ping_pong: &mut PingPong,
    limits: &Limits,
    connection: &ConnectionState,
) {
    let Some(interval) = limits.keepalive_interval else {
        return std::future::pending().await;
    };
    loop {
        let read_bytes = connection.read_bytes();
        sleep(interval).await;
        if connection.read_bytes() != read_bytes {
            continue;
        }
        // h2 sends a PING only after the PONG of the last one was taken. Any byte proves that the
        // peer answers, so the PONG itself needs no waker. Without a PONG the last PING still waits
        // for its answer, and another is not needed.
        let _ = ping_pong.poll_pong(&mut Context::from_waker(Waker::noop()));
        let _ = ping_pong.send_ping(Ping::opaque());
        sleep(limits.keepalive_timeout).await;
        if connection.read_bytes() == read_bytes {
            return;
        }
    }
}
