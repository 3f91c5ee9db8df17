//! Answers the calls of a connection: rejection, admission, deadline, handler, accounting.

mod abuse;
mod access_log;
mod call;
mod call_record;
mod concurrency_limit;
pub(crate) mod connection_state;
mod deadline;
pub(crate) mod faults;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod generated;
mod guard;
mod gzip;
mod http1_call;
mod http2_call;
mod in_flight;
mod inbox;
pub(crate) mod memory;
mod message_scanner;
mod method;
mod reject;
mod reply;
mod request_body;
mod response_body;
mod response_headers;
mod sent_replies;
mod service;
mod unary;
mod web;
mod worker_state;

pub(crate) use access_log::AccessLog;
pub(crate) use call::Router;
pub(crate) use concurrency_limit::ConcurrencyLimit;
pub use guard::{Caller, Guard};
pub(crate) use http1_call::Http1Calls;
pub(crate) use http2_call::{Http2Calls, STALL_TIMEOUT};
pub use method::{AtDrain, Method};
pub(crate) use response_headers::ReplyTemplate;
pub(crate) use sent_replies::{ReplyBytes, SentReplies};
pub(crate) use service::method_table;
pub use service::{Service, ServiceHealth};
pub(crate) use web::cors::Cors;
pub(crate) use worker_state::WorkerState;
