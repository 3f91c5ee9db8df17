//! The second stage: a connection to one of the addresses, or to a Unix socket.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::error::ConnectError;

/// When a silent connection is asked whether the peer is still there, as a `health --watch` that hears
/// nothing for hours has to know. By TCP, because servers count HTTP/2 PINGs and hang up on many.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How many of them may go unanswered: two minutes in all.
#[cfg(unix)]
const KEEPALIVE_PROBES: u32 = 3;

/// The first address that answers. Each gets its share of the time that is left, so that one which
/// is silent does not take all of it.
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
                // They only make it better; a socket that refuses them is still a connection.
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
                let problem = connect_error(address.to_string(), &error, Instant::now() - started);
                tried.push((address, Some(problem.clone())));
                failed = Some(problem);
            }
        }
    }
    Err(failed.expect("a name that was found has an address"))
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
        connect_error(format!("unix:{}", path.display()), &error, Instant::now() - started)
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
        ErrorKind::TimedOut => ConnectError::ConnectTimeout { peer, after },
        _ => ConnectError::NotOpened { peer, problem: error.to_string() },
    }
}
