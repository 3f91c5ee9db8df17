//! JSON objects of calls. Their keys are an interface, and include the unit.

use std::collections::BTreeMap;
use std::time::Duration;

use greet_proto::status::code_name;
use serde::Serialize;
use serde_json::{Map, Value};
use tonic::Code;

use crate::client::{Call, ConnectFailure, metadata};
use crate::error::CallError;

/// A call of a method; the schema and the facts differ between methods.
#[derive(Debug, Serialize)]
pub(crate) struct MethodCall {
    pub(crate) schema: &'static str,
    pub(crate) ok: bool,
    #[serde(flatten)]
    pub(crate) facts: Map<String, Value>,
    #[serde(flatten)]
    pub(crate) call: CallReport,
}

/// `greet.health/v1`
#[derive(Debug, Serialize)]
pub(crate) struct Health<'a> {
    pub(crate) schema: &'static str,
    /// Whether the service is SERVING.
    pub(crate) ok: bool,
    /// The checked service; empty for the server as a whole.
    pub(crate) service: &'a str,
    /// SERVING, NOT_SERVING, …; null on failure.
    pub(crate) serving: Option<&'static str>,
    /// Time of the change (RFC 3339); only with --watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<String>,
    #[serde(flatten)]
    pub(crate) call: CallReport,
}

/// `greet.health_list/v1`
#[derive(Debug, Serialize)]
pub(crate) struct HealthList<'a> {
    pub(crate) schema: &'static str,
    /// Whether there is a service, and every one is SERVING.
    pub(crate) ok: bool,
    /// Status by service, whose name is empty for the server as a whole; null on failure.
    pub(crate) services: Option<BTreeMap<&'a str, &'static str>>,
    #[serde(flatten)]
    pub(crate) call: CallReport,
}

/// Keys of every call.
#[derive(Debug, Serialize)]
pub(crate) struct CallReport {
    /// Null if the call was never sent.
    status: Option<StatusReport>,
    target: String,
    /// Address of the peer; null without a connection.
    peer: Option<String>,
    /// The header `greet-instance` of the reply.
    instance: Option<String>,
    headers: BTreeMap<String, String>,
    trailers: BTreeMap<String, String>,
    attempts: u32,
    /// The first failed attempts before the last, if there were any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier_attempts: Vec<AttemptReport>,
    timing_us: Timing,
    error: Option<ErrorReport>,
}

#[derive(Debug, Serialize)]
struct StatusReport {
    code: i32,
    name: &'static str,
    message: String,
}

/// A failed attempt of a call.
#[derive(Debug, Serialize)]
struct AttemptReport {
    target: String,
    /// Address of the peer; null without a connection.
    peer: Option<String>,
    error: ErrorReport,
}

/// A server that could not be connected to.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectFailureReport {
    target: String,
    /// An address of a `dns:` target, `IP:PORT`; else null.
    address: Option<String>,
    failures: u64,
    /// The first failure.
    error: ErrorReport,
}

pub(crate) fn connect_failures(failures: &[ConnectFailure]) -> Vec<ConnectFailureReport> {
    let report = |failure: &ConnectFailure| ConnectFailureReport {
        target: failure.server.target.clone(),
        address: failure.server.address.clone(),
        failures: failure.failures,
        error: ErrorReport::new(&failure.error.clone().into()),
    };
    failures.iter().map(report).collect()
}

/// Null for a stage that was not reached or, on an open connection, not needed.
#[derive(Debug, Serialize)]
struct Timing {
    dns: Option<u64>,
    tcp: Option<u64>,
    /// Absent without a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<u64>,
    tls: Option<u64>,
    http2: Option<u64>,
    rpc: Option<u64>,
    total: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ErrorReport {
    pub(crate) stage: &'static str,
    pub(crate) cause: String,
    pub(crate) hint: String,
    /// The details of the status (`google.rpc.*`), if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) details: Vec<Value>,
}

impl CallReport {
    pub(crate) fn new<Reply>(call: &Call<Reply>) -> CallReport {
        let failure = call.result.as_ref().err();
        CallReport {
            status: match failure {
                None => Some(StatusReport::new(Code::Ok, "")),
                Some(failure) => {
                    let status = failure.status();
                    status.map(|status| StatusReport::new(status.code(), status.message()))
                }
            },
            target: call.target.to_string(),
            peer: call.stages.peer.as_deref().map(str::to_owned),
            instance: call.instance().map(str::to_owned),
            headers: metadata::custom(&call.headers),
            trailers: metadata::custom(&call.trailers),
            attempts: call.attempts,
            earlier_attempts: call.earlier.iter().filter_map(AttemptReport::new).collect(),
            timing_us: Timing {
                dns: call.stages.dns.map(micros),
                tcp: call.stages.tcp.map(micros),
                proxy: call.stages.proxy.map(micros),
                tls: call.stages.tls.map(micros),
                http2: call.stages.http2.map(micros),
                rpc: call.rpc.map(micros),
                total: micros(call.total),
            },
            error: failure.map(ErrorReport::new),
        }
    }
}

impl AttemptReport {
    /// Returns `None` for an attempt that did not fail.
    fn new<Reply>(attempt: &Call<Reply>) -> Option<AttemptReport> {
        let failure = attempt.result.as_ref().err()?;
        Some(AttemptReport {
            target: attempt.target.to_string(),
            peer: attempt.stages.peer.as_deref().map(str::to_owned),
            error: ErrorReport::new(failure),
        })
    }
}

impl StatusReport {
    fn new(code: Code, message: &str) -> StatusReport {
        StatusReport { code: code.into(), name: code_name(code), message: message.to_owned() }
    }
}

impl ErrorReport {
    pub(crate) fn new(failure: &CallError) -> ErrorReport {
        ErrorReport {
            stage: failure.stage().name(),
            cause: failure.cause(),
            hint: failure.hint(),
            details: failure.details(),
        }
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
