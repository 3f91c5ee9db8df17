//! Answers the calls of a connection: rejection, admission, deadline, handler, accounting.

mod access_log;
mod call;
mod call_record;
mod concurrency_limit;
pub(crate) mod connection_state;
mod deadline;
mod in_flight;
mod method;
mod reject;
mod request_body;
mod response_body;
mod stall;
mod unary;
mod web;
mod worker_state;

pub(crate) use access_log::AccessLog;
pub(crate) use call::{
    AdmittedCall, Call, DeliveryDeadline, Dispatch, Handler, ResponseFuture, Router, handler,
};
pub(crate) use concurrency_limit::ConcurrencyLimit;
pub(crate) use method::Method;
pub(crate) use web::{Cors, DecodedBody};
pub(crate) use worker_state::WorkerState;
