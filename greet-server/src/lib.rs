//! The Greet daemon as a library, so that tests and embedders run it in process: on any port, with
//! any list of services, without signals.
//!
//! Start with [`Server::bind`] and [`Server::run`]. The folders:
//!
//! - `services` implements the served methods.
//! - `grpc` handles one call: deadline, limits, messages, status.
//! - `net` handles connections: listeners, acceptor, TLS, HTTP/2, workers.
//! - `lifecycle` has the phases from start to shutdown, signals and systemd.
//! - `flags` is the command line of the daemon, and `config` the configuration that follows from it; `telemetry` has logs, metrics and spans, `admin` the admin port.

mod admin;
pub mod config;
mod drain;
pub mod flags;
mod grpc;
pub mod lifecycle;
mod net;
mod server;
pub mod services;
pub mod telemetry;

pub use drain::RunError;
pub use flags::{Flags, command};
pub use grpc::connection_state::Peer;
pub use grpc::{AtDrain, Caller, Guard, Method, Service, ServiceHealth};
pub use lifecycle::report::ShutdownReport;
pub use net::address::Address;
pub use net::bind::BindError;
pub use net::tls::TlsError;
pub use server::{Server, Sockets, StartError};
pub use telemetry::metrics::close_reason::CloseReason;
pub use telemetry::trace_context::TraceId;
