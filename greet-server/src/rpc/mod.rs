//! Answering the calls that arrive on a connection: guard, dispatch, deadline, handler, count.

mod answer;
mod deadline;
mod handler;
mod in_flight;
mod method;
mod not_grpc;
mod progress;
mod reply_body;
mod request_body;
mod services;
mod shedding;
mod unary;

pub(crate) mod greeter;
mod health;
mod reflection;

pub(crate) use answer::{Bound, Call, Rpc};
pub(crate) use services::Services;
pub(crate) use shedding::Places;
