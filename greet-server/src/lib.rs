//! The Greet daemon as a library, so that tests (and whoever copies this workspace) can run it
//! in-process: on any port, with any [`Greeter`](greet_proto::Greeter), without signals.
//!
//! The way in is [`Server::bind`], then [`Server::run`]. Behind it stand two rooms:
//!
//! - `transport` accepts and bounds connections: listener, acceptor, worker, connection.
//! - `rpc` answers the calls that arrive on them: dispatch, deadline, guards, the services.

mod admin;
pub mod config;
mod drain;
mod grpc;
pub mod lifecycle;
mod net;
mod server;
mod services;
pub mod telemetry;

pub use config::command;
pub use drain::RunError;
pub use lifecycle::report::ShutdownReport;
pub use net::listener::BindError;
pub use net::tls::TlsError;
pub use server::{Server, Sockets, StartError};
pub use services::greeter::Greeting;
pub use telemetry::metrics::close_reason::CloseReason;
