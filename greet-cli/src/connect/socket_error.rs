//! Determines why a connection was not opened: the address, the network, or a limit of this machine,
//! which must not be blamed on the server.

use std::io::{self, ErrorKind};
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use crate::error::ConnectError;
use crate::format::HumanDuration;

/// Maximum length of the path of a Unix socket: `sun_path` without its terminating zero.
#[cfg(unix)]
pub(super) const MAX_SOCKET_PATH_BYTES: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// Returns the error of an attempt to connect over TCP.
pub(super) fn tcp_error(address: SocketAddr, error: &io::Error, after: Duration) -> ConnectError {
    let peer = address.to_string();
    if let Some(limit) = local_limit(&peer, error) {
        return limit;
    }
    match error.kind() {
        ErrorKind::AddrNotAvailable if is_unsupported(address) => ConnectError::NoIpv6 { peer },
        ErrorKind::AddrNotAvailable => ConnectError::NoLocalPort { peer },
        ErrorKind::PermissionDenied => ConnectError::Forbidden { peer },
        ErrorKind::InvalidInput if lacks_zone(address) => ConnectError::MissingZone { peer },
        _ => connect_error(peer, error, after),
    }
}

/// Returns the error of an attempt to connect to a Unix socket.
pub(super) fn unix_error(path: &Path, error: &io::Error, after: Duration) -> ConnectError {
    let peer = format!("unix:{}", path.display());
    if let Some(limit) = local_limit(&peer, error) {
        return limit;
    }
    match error.kind() {
        ErrorKind::PermissionDenied => ConnectError::SocketPermission { peer },
        ErrorKind::NotFound => ConnectError::NoSuchSocket { peer },
        // A Unix socket does not wait for room.
        ErrorKind::WouldBlock => ConnectError::SocketQueueFull { peer },
        ErrorKind::ConnectionRefused if path.is_file() => ConnectError::NotASocket { peer },
        _ => connect_error(peer, error, after),
    }
}

pub(super) fn timed_out(peer: String, after: Duration) -> ConnectError {
    ConnectError::ConnectTimeout { peer, after: HumanDuration(after).to_string() }
}

/// Returns the limit of open files that has been reached, if that is the error.
#[cfg(unix)]
pub(super) fn open_files_problem(error: &io::Error) -> Option<String> {
    use rustix::io::Errno;
    use rustix::process::{Resource, getrlimit};

    match Errno::from_io_error(error)? {
        Errno::MFILE => {
            let limit = getrlimit(Resource::Nofile).current;
            let limit = limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
            Some(format!("this process has reached its limit of open files, {limit}"))
        }
        Errno::NFILE => Some("this machine has reached its limit of open files".to_owned()),
        _ => None,
    }
}

#[cfg(not(unix))]
pub(super) fn open_files_problem(_error: &io::Error) -> Option<String> {
    None
}

fn local_limit(peer: &str, error: &io::Error) -> Option<ConnectError> {
    let peer = peer.to_owned();
    if let Some(problem) = open_files_problem(error) {
        return Some(ConnectError::TooManyOpenFiles { peer, problem });
    }
    is_out_of_memory(error).then_some(ConnectError::NoMemory { peer })
}

#[cfg(unix)]
fn is_out_of_memory(error: &io::Error) -> bool {
    use rustix::io::Errno;

    matches!(Errno::from_io_error(error), Some(Errno::NOBUFS | Errno::NOMEM))
}

#[cfg(not(unix))]
fn is_out_of_memory(error: &io::Error) -> bool {
    error.kind() == ErrorKind::OutOfMemory
}

/// Returns whether this machine has no IPv6, in a container for example.
fn is_unsupported(address: SocketAddr) -> bool {
    address.is_ipv6() && UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err()
}

/// Returns whether it is an address that exists on every network, without the network.
fn lacks_zone(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.scope_id() == 0 && v6.ip().is_unicast_link_local())
}

fn connect_error(peer: String, error: &io::Error, after: Duration) -> ConnectError {
    match error.kind() {
        ErrorKind::ConnectionRefused => ConnectError::Refused { peer },
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            ConnectError::Unreachable { peer }
        }
        ErrorKind::TimedOut => timed_out(peer, after),
        _ => ConnectError::ConnectFailed { peer, problem: error.to_string() },
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    const PEER: &str = "127.0.0.1:1";

    fn tcp(errno: Errno, address: &str) -> String {
        let error = io::Error::from_raw_os_error(errno.raw_os_error());
        tcp_error(address.parse().unwrap(), &error, Duration::ZERO).to_string()
    }

    #[test]
    fn limits_of_this_machine_are_named() {
        let reached = "could not connect to 127.0.0.1:1: this process has reached its limit of open \
                       files, ";
        let limit = tcp(Errno::MFILE, PEER).strip_prefix(reached).unwrap().parse::<u64>();
        assert!(limit.is_ok_and(|limit| limit > 2));
        for (errno, problem) in [
            (Errno::NFILE, "this machine has reached its limit of open files"),
            (Errno::NOBUFS, "the kernel has no memory for the connection"),
            (Errno::NOMEM, "the kernel has no memory for the connection"),
            (Errno::ADDRNOTAVAIL, "no local port is left"),
            (Errno::ACCESS, "this machine does not permit the connection"),
            (Errno::PERM, "this machine does not permit the connection"),
        ] {
            assert_eq!(tcp(errno, PEER), format!("could not connect to {PEER}: {problem}"));
        }
    }

    #[test]
    fn link_local_address_needs_a_zone() {
        let problem = "a link-local address needs a zone";
        let expected = format!("could not connect to [fe80::1]:1: {problem}");
        assert_eq!(tcp(Errno::INVAL, "[fe80::1]:1"), expected);
        assert!(!tcp(Errno::INVAL, "[fe80::1%1]:1").contains(problem));
        assert!(!tcp(Errno::INVAL, "[::1]:1").contains(problem));
    }

    #[test]
    fn permission_of_unix_socket_is_named() {
        for errno in [Errno::ACCESS, Errno::PERM] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            let error = unix_error(Path::new("/run/x.sock"), &error, Duration::ZERO);
            let peer = "unix:/run/x.sock".to_owned();
            assert_eq!(error, ConnectError::SocketPermission { peer });
        }
    }
}
