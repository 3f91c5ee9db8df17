//! The command line as it is run: the real binary, a clean environment; standard output, standard
//! error and exit code together.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod raw;
mod support;

mod environment;
mod health;
mod hello;
mod misbehaving;
mod not_connected;
mod output;
mod statuses;
mod usage;
mod wait;
