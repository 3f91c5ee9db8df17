//! The command line as it is run: the real binary, a clean environment; standard output, standard
//! error and exit code together.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod certs;
mod failing;
mod hosts;
mod raw;
mod support;

mod balance;
mod diagnose;
mod environment;
mod failing_http2;
mod failing_rpc;
mod failing_tls;
mod failing_to_connect;
mod health;
mod hello;
mod load;
mod many;
mod output;
mod reference;
mod retry;
mod statuses;
mod tls;
mod trace;
mod usage;
mod wait;
