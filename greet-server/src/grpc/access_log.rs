//! Writes the access log: a line for every call, for failed calls, or for none. No line has a name,
//! only its length.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use greet_proto::escape::Escaped;
use greet_proto::status::code_name;
use tonic::Code;

use super::connection_state::Peer;
use crate::config;
use crate::telemetry::rate_limit::LogRateLimiter;
use crate::telemetry::trace_context::TraceId;

/// Lines for failed calls, per worker.
const MAX_LINES_PER_SECOND: u32 = 20;

/// Bytes of an unknown path in a line.
const MAX_PATH_BYTES: usize = 256;

/// The access log of a worker.
#[derive(Debug)]
pub(crate) struct AccessLog {
    mode: config::AccessLog,
    limiter: RefCell<LogRateLimiter>,
}

/// The content of a line.
pub(super) struct AccessEntry<'a> {
    pub(super) method: &'static str,
    /// The path of an unknown method.
    pub(super) path: Option<&'a str>,
    pub(super) code: Code,
    pub(super) took: Duration,
    pub(super) peer: Peer,
    pub(super) name_bytes: Option<u64>,
    pub(super) trace_id: Option<TraceId>,
}

impl AccessLog {
    pub(crate) fn new(mode: config::AccessLog) -> AccessLog {
        let limiter = LogRateLimiter::new(MAX_LINES_PER_SECOND, Duration::from_secs(1));
        AccessLog { mode, limiter: RefCell::new(limiter) }
    }

    pub(super) fn is_on(&self) -> bool {
        self.mode != config::AccessLog::Off
    }

    pub(super) fn log(&self, entry: &AccessEntry<'_>) {
        let suppressed = match self.mode {
            config::AccessLog::All => 0,
            config::AccessLog::Errors if entry.code != Code::Ok => {
                match self.limiter.borrow_mut().admit(Instant::now()) {
                    Some(suppressed) => suppressed,
                    None => return,
                }
            }
            config::AccessLog::Errors | config::AccessLog::Off => return,
        };
        let path = entry.path.map(|path| &path[..path.floor_char_boundary(MAX_PATH_BYTES)]);
        tracing::info!(
            target: "access",
            method = entry.method,
            path = path.map(|path| tracing::field::display(Escaped(path))),
            status = code_name(entry.code),
            took_us = u64::try_from(entry.took.as_micros()).unwrap_or(u64::MAX),
            peer = %entry.peer,
            name_bytes = entry.name_bytes,
            trace_id = entry.trace_id.map(tracing::field::display),
            suppressed = (suppressed > 0).then_some(suppressed),
            "call"
        );
    }
}

impl Drop for AccessLog {
    /// Logs how many lines were suppressed since the last one.
    fn drop(&mut self) {
        let suppressed = self.limiter.get_mut().take_suppressed();
        if suppressed > 0 {
            tracing::info!(target: "access", suppressed, "calls failed");
        }
    }
}
