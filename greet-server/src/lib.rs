//! The Greet daemon as a library, so that tests and embedders run it in process: on any port, with
//! any [`Greeter`](greet_proto::Greeter), without signals.
//!
//! Start with [`Server::bind`] and [`Server::run`]. The folders:
//!
//! - `services` implements the methods that are served.
//! - `grpc` handles one call: deadline, limits, messages, status.
//! - `net` handles connections: listeners, acceptor, TLS, HTTP/2, workers.
//! - `lifecycle` has the phases from start to shutdown, signals and systemd.
//! - `config`, `telemetry` and `admin` are the configuration, logs, metrics and spans, and the admin port.

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
