//! The Greet daemon as a library, so that tests (and whoever copies this workspace) can run it
//! in-process: on any port, with any [`Greeter`](greet_proto::Greeter), without signals.
//!
//! The way in is [`Server::bind`], then [`Server::run`]. Behind it stand two rooms:
//!
//! - `transport` accepts and bounds connections: listener, acceptor, worker, connection.
//! - `rpc` answers the calls that arrive on them: dispatch, deadline, guards, the services.

mod admin;
mod close_cause;
pub mod config;
mod lifecycle;
pub mod metrics;
mod otel;
mod outcome;
mod phase;
mod rpc;
mod server;
pub mod signals;
mod stats;
mod supervisor;
pub mod telemetry;
mod traffic;
mod transport;

pub use close_cause::CloseCause;
pub use config::command;
pub use lifecycle::RunError;
pub use outcome::Outcome;
pub use rpc::greeter::Greeting;
pub use server::{Server, Sockets, StartError};
pub use transport::listener::BindError;
pub use transport::tls::TlsError;
