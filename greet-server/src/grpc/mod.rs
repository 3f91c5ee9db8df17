//! Answers the calls that arrive on a connection: admission, dispatch, deadline, handler, accounting.

mod access_log;
mod call;
mod call_record;
mod concurrency_limit;
pub(crate) mod connection_state;
mod deadline;
pub(crate) mod handler;
mod in_flight;
pub(crate) mod method;
mod reject;
pub(crate) mod request_body;
mod response_body;
mod stall;
mod unary;
mod web;

pub(crate) use access_log::AccessLog;
pub(crate) use call::{Bound, Call, Rpc};
pub(crate) use concurrency_limit::Places;
pub(crate) use method::Method;
pub(crate) use web::Cors;
