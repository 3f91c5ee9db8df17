//! The options of calls, and the course of one call.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use greet_flags::product;
use http::uri::Authority;
use http::{HeaderMap, HeaderName};
use tokio::time::Instant;

use super::retry::RetryPolicy;
use super::trace::Trace;
use super::wire::{CommonHeaders, SentHeaders};
use crate::connect::{Proxy, Stages, Target, Tls};
use crate::error::{CallError, RpcError};
use crate::format::HumanDuration;

/// The header with the name of the server that answered.
const INSTANCE: HeaderName = HeaderName::from_static(product::INSTANCE_HEADER);

/// Options that all calls of a command share.
#[derive(Debug, Clone)]
pub(crate) struct CallOptions {
    /// The `:authority` of calls, if it does not follow from the target.
    pub(crate) authority: Option<Authority>,
    pub(crate) headers: CommonHeaders,
    /// The proxy of the environment, which may apply to some of the targets.
    pub(crate) proxy: Option<Arc<Proxy>>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) retries: RetryPolicy,
    pub(crate) trace: Option<Trace>,
    /// The deadline of all calls together; `None` if `timeout` applies to each call.
    pub(crate) overall_deadline: Option<Instant>,
    /// Whether to keep the headers of requests, for `--verbose`.
    pub(crate) keeps_requests: bool,
}

impl CallOptions {
    /// Returns the deadline of a call.
    pub(crate) fn deadline(&self, started: Instant) -> Instant {
        let deadline = started + self.timeout;
        self.overall_deadline.map_or(deadline, |overall_deadline| overall_deadline.min(deadline))
    }

    /// Returns the deadline for connecting, now, for a call that ends by `deadline`.
    pub(crate) fn connect_deadline(&self, deadline: Instant) -> Instant {
        self.connect_timeout.map_or(deadline, |timeout| deadline.min(Instant::now() + timeout))
    }
}

/// The course of one call.
#[derive(Debug)]
pub(crate) struct Call<Reply> {
    pub(crate) result: Result<Reply, CallError>,
    /// The headers of the request, if it was sent and they are kept.
    pub(crate) request: Option<SentHeaders>,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    /// The target of the last attempt.
    pub(crate) target: Arc<Target>,
    /// Number of attempts, on any connection and target.
    pub(crate) attempts: u32,
    /// The first of the attempts before the last.
    pub(crate) earlier: Vec<Call<Bytes>>,
    /// The stages of connecting; only the peer if the connection existed already.
    pub(crate) stages: Stages,
    /// Whether the reply was more than a status.
    pub(super) has_started: bool,
    /// Whether the server did not accept it, so that it may be sent on another connection.
    pub(super) is_refused: bool,
    /// Time from the request to the end of the reply, in the last attempt.
    pub(crate) rpc: Option<Duration>,
    pub(crate) total: Duration,
}

impl<Reply: Default> Call<Reply> {
    pub(crate) fn new(target: Arc<Target>) -> Call<Reply> {
        Call {
            result: Ok(Reply::default()),
            request: None,
            headers: HeaderMap::new(),
            trailers: HeaderMap::new(),
            target,
            attempts: 0,
            earlier: Vec::new(),
            stages: Stages::default(),
            has_started: false,
            is_refused: false,
            rpc: None,
            total: Duration::ZERO,
        }
    }
}

impl Call<Bytes> {
    /// Decodes the reply with a function that returns the problem if it cannot.
    pub(crate) fn decoded<Reply>(
        self,
        decode: impl FnOnce(Bytes) -> Result<Reply, String>,
    ) -> Call<Reply> {
        Call {
            result: self.result.and_then(|reply| {
                decode(reply).map_err(|problem| RpcError::undecodable(&problem).into())
            }),
            request: self.request,
            headers: self.headers,
            trailers: self.trailers,
            target: self.target,
            attempts: self.attempts,
            earlier: self.earlier,
            stages: self.stages,
            has_started: self.has_started,
            is_refused: self.is_refused,
            rpc: self.rpc,
            total: self.total,
        }
    }
}

impl<Reply> Call<Reply> {
    /// Returns the call without what its first message took: a later one of the stream took nothing.
    pub(crate) fn on_open_connection(self) -> Call<Reply> {
        let stages = Stages { peer: self.stages.peer, ..Stages::default() };
        Call { stages, request: None, rpc: None, total: Duration::ZERO, ..self }
    }

    /// Returns the name of the server that answered, if it sent one.
    pub(crate) fn instance(&self) -> Option<&str> {
        self.headers.get(INSTANCE).and_then(|name| name.to_str().ok())
    }

    /// Returns the time of each stage: `dns 9us, tcp 85us, http2 1.2ms, rpc 5s`.
    pub(crate) fn times(&self) -> String {
        let Stages { dns, tcp, proxy, tls, http2, .. } = self.stages;
        let times = [
            ("dns", dns),
            ("tcp", tcp),
            ("proxy", proxy),
            ("tls", tls),
            ("http2", http2),
            ("rpc", self.rpc),
        ];
        let times = times.iter().filter_map(|(stage, time)| {
            let time = HumanDuration((*time)?);
            Some(format!("{stage} {time}"))
        });
        times.collect::<Vec<_>>().join(", ")
    }
}
