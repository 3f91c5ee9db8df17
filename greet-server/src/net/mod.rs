//! Accepting and bounding connections: what stock servers leave open (an unbounded handshake, a
//! shutdown that one silent peer can hold up) is bounded here.
//!
//! One acceptor a listener hands each connection to the least loaded worker. A worker is a thread
//! with a single-threaded runtime; a connection lives and dies on its worker, so nothing that a
//! call touches is shared between cores.

pub(crate) mod acceptor;
mod close_log;
pub(crate) mod connection;
pub(crate) mod connection_limit;
mod goaway;
mod handshake;
mod http1;
mod http2;
pub(crate) mod listener;
mod preface;
#[cfg(unix)]
pub(crate) mod socket_activation;
mod stream;
mod streams;
pub(crate) mod tls;
mod transport;
#[cfg(unix)]
mod unix_socket;
pub(crate) mod worker;
