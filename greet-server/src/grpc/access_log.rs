//! Writes the access log: a line for every call, for failed calls, or for none. A line has the size
//! of the request, not its content.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use greet_proto::escape::Escaped;
use greet_proto::status::code_name;
use tonic::Code;

use super::connection_state::Peer;
use crate::config::AccessLogMode;
use crate::telemetry::fault_kind::FaultKinds;
use crate::telemetry::rate_limit::LogRateLimiter;
use crate::telemetry::trace_context::{SpanId, TraceId};

/// Maximum lines about failed calls, per worker.
const MAX_LINES_PER_SECOND: u32 = 20;

/// Maximum bytes of an unknown path in a line.
const MAX_PATH_BYTES: usize = 256;

#[derive(Debug)]
pub(crate) struct AccessLog {
    mode: AccessLogMode,
    limiter: RefCell<LogRateLimiter>,
}

pub(super) struct AccessEntry<'a> {
    pub(super) method: &'static str,
    /// The path of an unknown method.
    pub(super) path: Option<&'a str>,
    pub(super) code: Code,
    pub(super) took: Duration,
    pub(super) peer: Peer,
    pub(super) request_bytes: u64,
    /// The injected faults.
    pub(super) faults: FaultKinds,
    pub(super) trace_id: Option<TraceId>,
    /// The exported span of the call.
    pub(super) span_id: Option<SpanId>,
}

impl AccessLog {
    pub(crate) fn new(mode: AccessLogMode) -> AccessLog {
        let limiter = LogRateLimiter::new(MAX_LINES_PER_SECOND, Duration::from_secs(1));
        AccessLog { mode, limiter: RefCell::new(limiter) }
    }

    pub(super) fn is_on(&self) -> bool {
        self.mode != AccessLogMode::Off
    }

    /// Returns whether calls with this status have a line.
    pub(super) fn logs(&self, code: Code) -> bool {
        match self.mode {
            AccessLogMode::All => true,
            AccessLogMode::Errors => code != Code::Ok,
            AccessLogMode::Off => false,
        }
    }

    pub(super) fn log(&self, entry: &AccessEntry<'_>) {
        let suppressed = match self.mode {
            AccessLogMode::All => 0,
            AccessLogMode::Errors => match self.limiter.borrow_mut().admit(Instant::now()) {
                Some(suppressed) => suppressed,
                None => return,
            },
            AccessLogMode::Off => return,
        };
        let path = entry.path.map(|path| &path[..path.floor_char_boundary(MAX_PATH_BYTES)]);
        tracing::info!(
            target: "access",
            method = entry.method,
            path = path.map(|path| tracing::field::display(Escaped(path))),
            status = code_name(entry.code),
            took_us = u64::try_from(entry.took.as_micros()).unwrap_or(u64::MAX),
            peer = %entry.peer,
            request_bytes = entry.request_bytes,
            fault = entry.faults.if_any().map(tracing::field::display),
            trace_id = entry.trace_id.map(tracing::field::display),
            span_id = entry.span_id.map(tracing::field::display),
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
