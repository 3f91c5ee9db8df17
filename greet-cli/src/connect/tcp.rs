//! The TCP stage: connects to one of the addresses, or to a Unix socket.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::error::ConnectError;
use crate::format::HumanDuration;

/// Interval of TCP keepalive: `health --watch` may wait for hours. Not HTTP/2 PINGs, because
/// servers close connections that send many.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Maximum unanswered probes: two minutes in all.
#[cfg(unix)]
const KEEPALIVE_PROBES: u32 = 3;

/// Connects to the first address that accepts. Each has an equal share of the remaining time, so
/// that a silent one leaves time for the others.
pub(super) async fn open(
    addresses: Vec<SocketAddr>,
    deadline: Instant,
    tried: &mut Vec<(SocketAddr, Option<ConnectError>)>,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let mut failed = None;
    for address in addresses {
        let started = Instant::now();
        let until = started + (deadline.saturating_duration_since(started) / left);
        left -= 1;
        let opened = timeout_at(until, TcpStream::connect(address)).await;
        match opened.unwrap_or_else(|_elapsed| Err(ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                tried.push((address, None));
                // Both are optional.
                let _ = stream.set_nodelay(true);
                let keepalive = TcpKeepalive::new()
                    .with_time(KEEPALIVE_INTERVAL)
                    .with_interval(KEEPALIVE_INTERVAL);
                #[cfg(unix)]
                let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
                let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                return Ok((stream, address));
            }
            Err(error) => {
                let problem = connect_error(address.to_string(), &error, started.elapsed());
                tried.push((address, Some(problem.clone())));
                failed = Some(problem);
            }
        }
    }
    Err(failed.expect("there is at least one address"))
}

#[cfg(unix)]
pub(super) async fn open_unix(
    path: &Path,
    deadline: Instant,
) -> Result<tokio::net::UnixStream, ConnectError> {
    let started = Instant::now();
    let opened = timeout_at(deadline, tokio::net::UnixStream::connect(path)).await;
    let opened = opened.unwrap_or_else(|_elapsed| Err(ErrorKind::TimedOut.into()));
    opened.map_err(|error| {
        connect_error(format!("unix:{}", path.display()), &error, started.elapsed())
    })
}

#[cfg(not(unix))]
pub(super) async fn open_unix(path: &Path, _deadline: Instant) -> Result<TcpStream, ConnectError> {
    let unsupported = ErrorKind::Unsupported.into();
    let peer = format!("unix:{}", path.display());
    std::future::ready(Err(connect_error(peer, &unsupported, Duration::ZERO))).await
}

fn connect_error(peer: String, error: &io::Error, after: Duration) -> ConnectError {
    match error.kind() {
        ErrorKind::ConnectionRefused => ConnectError::Refused { peer },
        ErrorKind::NotFound => ConnectError::NoSuchSocket { peer },
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            ConnectError::Unreachable { peer }
        }
        ErrorKind::TimedOut => {
            ConnectError::ConnectTimeout { peer, after: HumanDuration(after).to_string() }
        }
        _ => ConnectError::ConnectFailed { peer, problem: error.to_string() },
    }
}
