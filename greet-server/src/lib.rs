//! A gRPC server with bounded resource use and graceful shutdown, and the daemon greet-server. Tests and other
//! programs run it in process: on any port, with any list of services, without signals.
//!
//! ```
//! use std::net::SocketAddr;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use greet_proto::greet::greeter_client::GreeterClient;
//! use greet_proto::greet::greeter_server::{Greeter, GreeterServer};
//! use greet_proto::greet::{HelloReply, HelloRequest};
//! use greet_server::config::Config;
//! use greet_server::{Server, Service};
//! use tonic::transport::Channel;
//! use tonic::{Request, Response, Status};
//!
//! /// Replies with the number of the call.
//! #[derive(Default)]
//! struct Counting {
//!     calls: AtomicU64,
//! }
//!
//! #[tonic::async_trait]
//! impl Greeter for Counting {
//!     async fn say_hello(&self, call: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
//!         let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
//!         let message = format!("{number}: {}", call.into_inner().name);
//!         Ok(Response::new(HelloReply { message }))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let state = Arc::new(Counting::default()); // shared by the workers
//! let services =
//!     move |config: &Config| vec![Service::of::<GreeterServer<Counting>>(config, state.clone())];
//! let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
//! let config = Config { listen: vec![any_port.into()], ..Config::default() };
//! let server = Server::bind(config, services).await?;
//! let url = server.addresses()[0].to_string();
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let drain = async { stopped.await.unwrap_or(()) };
//! let running = tokio::spawn(server.run(drain, std::future::pending()));
//!
//! let mut client = GreeterClient::new(Channel::from_shared(url)?.connect().await?);
//! let reply = client.say_hello(HelloRequest { name: "Ada".to_owned() }).await?;
//! assert_eq!(reply.into_inner().message, "1: Ada");
//!
//! stop.send(()).expect("the server runs");
//! let report = running.await??;
//! assert_eq!((report.answered, report.cut), (1, 0));
//! # Ok(())
//! # }
//! ```
//!
//! [`Server`] has what else the daemon uses: a guard, the log control, the service manager. The folders:
//!
//! - `services` implements the served methods.
//! - `grpc` handles one call: deadline, limits, messages, status.
//! - `net` handles connections: listeners, acceptor, TLS, HTTP/2, workers.
//! - `lifecycle` has the phases from start to shutdown, signals and systemd.
//! - `flags` is the command line of the daemon, and `config` the configuration that follows from it.
//! - `telemetry` has logs, metrics and spans, `admin` the admin port.

mod admin;
pub mod config;
mod drain;
pub mod flags;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
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
