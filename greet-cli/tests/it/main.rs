//! The behaviour of greet-cli: one module per promise, `support` apart. The tests run the built
//! binary in an empty environment and compare standard output, standard error and the exit code.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

mod addresses;
mod balance;
mod bulk;
mod call;
mod connect_errors;
mod dead_targets;
mod diagnose;
mod documentation;
mod environment;
mod error_details;
mod fd_limit;
mod health;
// <greeter>
mod hello;
// </greeter>
mod http2_errors;
mod load;
mod load_baseline;
mod load_steps;
#[cfg(unix)]
mod local_limits;
mod network_faults;
mod output;
mod ping;
mod proxy;
mod retry;
mod rpc_errors;
mod status_codes;
mod targets;
mod tls;
mod tls_errors;
mod tls_files;
mod trace;
mod usage;
mod wait;
