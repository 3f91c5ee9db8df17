//! A port that ignores connections, as a firewall does that drops packets.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// The kernel drops connections that exceed the backlog of a listener.
pub(crate) struct SilentListener {
    pub(crate) address: SocketAddr,
    _listener: Socket,
    _backlog: Vec<TcpStream>,
}

impl SilentListener {
    pub(crate) fn bind(address: SocketAddr) -> SilentListener {
        let listener = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut backlog = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            backlog.push(stream);
        }
        SilentListener { address, _listener: listener, _backlog: backlog }
    }
}
