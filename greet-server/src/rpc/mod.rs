//! Answering the calls that arrive on a connection: guard, dispatch, deadline, handler, count.

mod access_log;
mod answer;
mod code_name;
mod deadline;
mod handler;
mod in_flight;
mod method;
mod not_grpc;
mod progress;
mod record;
mod reply_body;
mod request_body;
mod services;
mod shedding;
mod trace_context;
mod unary;
mod web;

pub(crate) mod greeter;
mod health;
mod reflection;

pub(crate) use access_log::AccessLog;
pub(crate) use answer::{Bound, Call, Rpc};
pub(crate) use code_name::code_name;
pub(crate) use method::Method;
pub(crate) use services::Services;
pub(crate) use shedding::Places;
pub(crate) use trace_context::{TraceContext, TraceId};
pub(crate) use web::Cors;
