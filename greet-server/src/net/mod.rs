//! Accepts connections, bounds them and serves them.
//!
//! Each listener has an acceptor, which hands every connection to the least loaded worker. A worker
//! is a thread with a current-thread runtime; a connection stays on its worker, so that a call
//! touches nothing that cores share. Handshake and shutdown have deadlines.

pub(crate) mod acceptor;
pub(crate) mod address;
pub(crate) mod bind;
mod close_log;
pub(crate) mod connection;
pub(crate) mod connection_limit;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod goaway;
mod handshake;
mod http1;
mod http2;
mod io;
pub(crate) mod listener;
mod preface;
#[cfg(unix)]
pub(crate) mod socket_activation;
pub(crate) mod tls;
mod transport;
#[cfg(unix)]
mod unix_socket;
pub(crate) mod worker;
