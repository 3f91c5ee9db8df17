//! From a target to a connection that is ready for a call: dns, tcp, http2, each timed, and the
//! first that fails named.

mod connect;
mod first_frame;

pub(crate) use connect::{Connection, Stages, connect};
