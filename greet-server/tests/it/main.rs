//! What the daemon promises, a module a promise. Each test runs the real thing: bound sockets,
//! worker threads, HTTP/2 on loopback.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod certs;
mod http1;
mod http1_life;
mod support;

#[cfg(unix)]
mod access_log;
mod admin;
mod compression;
mod configuration;
mod connections;
mod daemon;
mod deadline;
mod drain;
mod dry_run;
mod grpc_web;
mod handshake;
mod health;
mod hello;
mod hostile;
mod keepalive;
mod limits;
mod metrics;
#[cfg(feature = "otel")]
#[cfg(feature = "otel")]
mod otlp;
#[cfg(all(feature = "otel", unix))]
mod otlp_environment;
mod panic;
mod reflection;
mod resets;
mod short_way;
mod statuses;
#[cfg(unix)]
mod supervised;
mod tls;
mod tls_reload;
#[cfg(unix)]
mod unix_socket;
