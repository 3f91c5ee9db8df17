//! The Greet daemon as a library, so that tests (and whoever copies this workspace) can run it
//! in-process: on any port, with any [`Greeter`](greet_proto::Greeter), without signals.
//!
//! The way in is [`Server::bind`], then [`Server::run`]. Behind it stand two rooms:
//!
//! - `transport` accepts and bounds connections: listener, acceptor, worker, connection.
//! - `rpc` answers the calls that arrive on them: dispatch, deadline, guards, the services.

mod admin;
mod check;
mod close_cause;
pub mod config;
mod config_file;
pub mod flags;
mod grpc;
mod lifecycle;
pub mod metrics;
mod net;
mod otel;
mod outcome;
mod phase;
mod print_config;
mod resolve;
mod server;
mod services;
pub mod settings;
pub mod signals;
mod stats;
mod supervisor;
pub mod telemetry;
mod web_address;

pub use close_cause::CloseCause;
pub use lifecycle::RunError;
pub use net::listener::BindError;
pub use net::tls::TlsError;
pub use outcome::Outcome;
pub use server::{Server, Sockets, StartError};
pub use services::greeter::Greeting;
