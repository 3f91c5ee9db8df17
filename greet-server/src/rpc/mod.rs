//! Answering the calls that arrive on a connection: guard, dispatch, deadline, handler, count.

mod answer;
mod deadline;
mod in_flight;
mod not_grpc;
mod reply_body;
mod request_body;

pub(crate) mod greeter;
mod health;
mod method;
mod reflection;
mod services;

pub(crate) use answer::Rpc;
pub(crate) use services::Services;
