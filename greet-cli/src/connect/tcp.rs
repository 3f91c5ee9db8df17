//! The TCP stage: connects to one of the addresses, or to a Unix socket.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

#[cfg(unix)]
use super::socket_error::MAX_SOCKET_PATH_BYTES;
use super::socket_error::{tcp_error, timed_out, unix_error};
use crate::error::ConnectError;

/// Time of an attempt until the next one starts, as RFC 8305 recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Interval of TCP keepalive: `health --watch` may wait for hours. Not HTTP/2 PINGs, because
/// servers close connections that send many.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Maximum unanswered probes: two minutes in all.
#[cfg(unix)]
const KEEPALIVE_PROBES: u32 = 3;

/// An attempt to connect to one address.
#[derive(Debug)]
struct Attempt {
    address: SocketAddr,
    started: Instant,
    error: Option<ConnectError>,
}

/// Connects to one of the addresses; `tried` gets every attempt, in the order of their start.
pub(super) async fn open(
    addresses: &[SocketAddr],
    deadline: Instant,
    tried: &mut Vec<(SocketAddr, Option<ConnectError>)>,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let mut attempts = Vec::new();
    let connected = timeout_at(deadline, race(addresses, &mut attempts)).await.ok().flatten();
    let winner = connected.as_ref().map(|(index, _)| *index);
    let results = attempts.into_iter().enumerate().map(|(index, attempt)| {
        let Attempt { address, started, error } = attempt;
        let silent = || timed_out(address.to_string(), started.elapsed());
        (address, (winner != Some(index)).then(|| error.unwrap_or_else(silent)))
    });
    tried.extend(results);
    let Some((index, stream)) = connected else {
        let last_error = tried.last().and_then(|(_, error)| error.clone());
        return Err(last_error.expect("there is at least one address"));
    };
    configure(&stream);
    Ok((stream, tried[index].0))
}

/// Returns the first connection and the index of its attempt, or `None` if no address accepts
/// ("Happy Eyeballs", RFC 8305; gRFC A61). The next address is tried when one has failed or is silent
/// for [`ATTEMPT_DELAY`]; the first connection ends the other attempts.
async fn race(addresses: &[SocketAddr], attempts: &mut Vec<Attempt>) -> Option<(usize, TcpStream)> {
    let mut waiting = alternate_families(addresses).into_iter();
    let mut pending = FuturesUnordered::new();
    loop {
        if let Some(address) = waiting.next() {
            let index = attempts.len();
            attempts.push(Attempt { address, started: Instant::now(), error: None });
            pending.push(async move { (index, TcpStream::connect(address).await) });
        }
        tokio::select! {
            Some((index, result)) = pending.next() => match result {
                Ok(stream) => return Some((index, stream)),
                Err(error) => {
                    let attempt = &mut attempts[index];
                    let after = attempt.started.elapsed();
                    attempt.error = Some(tcp_error(attempt.address, &error, after));
                }
            },
            () = sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
            else => return None,
        }
    }
}

/// Alternates between IPv6 and IPv4, starting with the family of the first address: if one family
/// does not work, only one attempt in two is lost.
fn alternate_families(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first_family = |address: &SocketAddr| address.is_ipv6() == addresses[0].is_ipv6();
    let (first, second): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(is_first_family);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut alternating = Vec::new();
    while alternating.len() < addresses.len() {
        alternating.extend(first.next());
        alternating.extend(second.next());
    }
    alternating
}

/// Sets options that are useful and not necessary, so errors are ignored.
fn configure(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_INTERVAL).with_interval(KEEPALIVE_INTERVAL);
    #[cfg(unix)]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

#[cfg(unix)]
pub(super) async fn open_unix(
    path: &Path,
    deadline: Instant,
) -> Result<tokio::net::UnixStream, ConnectError> {
    let bytes = path.as_os_str().len();
    if bytes > MAX_SOCKET_PATH_BYTES {
        return Err(ConnectError::SocketPathTooLong {
            peer: format!("unix:{}", path.display()),
            bytes: bytes.to_string(),
            limit: MAX_SOCKET_PATH_BYTES.to_string(),
        });
    }
    let started = Instant::now();
    let opened = timeout_at(deadline, tokio::net::UnixStream::connect(path)).await;
    let opened = opened.unwrap_or_else(|_elapsed| Err(ErrorKind::TimedOut.into()));
    opened.map_err(|error| unix_error(path, &error, started.elapsed()))
}

#[cfg(not(unix))]
pub(super) async fn open_unix(path: &Path, _deadline: Instant) -> Result<TcpStream, ConnectError> {
    let unsupported = ErrorKind::Unsupported.into();
    std::future::ready(Err(unix_error(path, &unsupported, Duration::ZERO))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_addresses_alternate() {
        let order = |addresses: &[&str]| {
            let addresses: Vec<_> =
                addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 1)).collect();
            let order = alternate_families(&addresses);
            order.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        let mixed = ["::1", "::2", "::3", "10.0.0.1", "10.0.0.2"];
        assert_eq!(order(&mixed), ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]);
        assert_eq!(order(&["10.0.0.1", "::1", "::2"]), ["10.0.0.1", "::1", "::2"]);
        assert_eq!(order(&["::1", "::2"]), ["::1", "::2"]);
    }
}
