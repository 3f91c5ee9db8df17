//! Tests the behaviour of the daemon, one module per promise. The tests run the whole daemon, with
//! bound sockets, worker threads and HTTP/2 over loopback.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

mod admin;
mod compression;
mod configuration;
mod connection_limit;
#[cfg(unix)]
mod daemon;
mod deadline;
mod drain;
mod dry_run;
mod embedder;
mod fair_share;
mod fast_path;
mod faults;
mod flow_control;
mod greeter_service;
mod grpc_web;
mod guard;
mod handshake;
mod health;
mod hostile_clients;
mod http1_connection;
mod keepalive;
mod limits;
#[cfg(unix)]
mod listen;
mod listener_scheme;
#[cfg(unix)]
mod logging;
mod memory_limit;
mod metrics;
#[cfg(feature = "otel")]
mod otlp;
#[cfg(all(feature = "otel", unix))]
mod otlp_environment;
#[cfg(target_os = "linux")]
mod proc_subset;
#[cfg(target_os = "linux")]
mod process_1;
mod rapid_reset;
mod reflection;
mod rejected_requests;
mod replies;
mod reply_headers;
mod services;
mod shared_runtime;
mod small_messages;
mod status_codes;
mod streams;
#[cfg(unix)]
mod systemd;
mod tls;
#[cfg(unix)]
mod tls_files;
mod tls_reload;
#[cfg(unix)]
mod unix_socket;
