//! Exit code 3, stages dns and tcp: nobody was reached.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::failing::fails;
use crate::support::{greet, nobody};

#[test]
fn unknown_host() {
    // The resolver's own words differ from system to system; the rest must not.
    let ran = greet("no-such-host.invalid:1", &["hello", "--name=Ada"]);
    assert_eq!(ran.code, Some(3));
    let line = "greet-cli: dns: could not look up no-such-host.invalid: ";
    assert!(ran.stderr.starts_with(line), "{ran:?}");
    assert!(ran.stderr.ends_with("\n\nhint: check the host name in --target\n"), "{ran:?}");
}

#[test]
fn connection_refused() {
    fails("tcp_refused", &nobody(), &[]);
}

#[cfg(unix)]
#[test]
fn missing_unix_socket() {
    fails("tcp_no_such_socket", "unix:/no/such.sock", &[]);
}

/// TCP has no way to a group of hosts.
#[cfg(target_os = "linux")]
#[test]
fn unreachable_network() {
    fails("tcp_unreachable", "224.0.0.1:50051", &[]);
}

/// The kernel drops what does not fit into a listener's queue, as a firewall does.
#[cfg(target_os = "linux")]
#[test]
fn connect_timeout() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
    }
    fails("tcp_timeout", &address.to_string(), &[]);
}
