//! Accepting and bounding connections: what stock servers leave open (an unbounded handshake, a
//! shutdown that one silent peer can hold up) is bounded here.
//!
//! One acceptor a listener hands each connection to the least loaded worker. A worker is a thread
//! with a single-threaded runtime; a connection lives and dies on its worker, so nothing that a
//! call touches is shared between cores.

pub(crate) mod acceptor;
pub(crate) mod admission;
mod closed_log;
pub(crate) mod connection;
mod farewell;
mod handshake;
mod http1;
#[cfg(unix)]
pub(crate) mod inherited;
pub(crate) mod listener;
mod preface;
mod stream;
mod streams;
pub(crate) mod tls;
pub(crate) mod tls_reload;
#[cfg(unix)]
mod unix_path;
pub(crate) mod worker;
