//! What happened to a call.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::connect::{Stages, Target};
use crate::error::CallError;
use crate::format::HumanDuration;

/// Who says that it answered.
const INSTANCE: HeaderName = HeaderName::from_static("greet-instance");

/// One call, with everything that is told of it.
#[derive(Debug)]
pub(crate) struct Call<Reply> {
    pub(crate) result: Result<Reply, CallError>,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    /// The last one that it was tried on.
    pub(crate) target: Arc<Target>,
    /// How often it was tried: on another connection, on another target, again.
    pub(crate) attempts: u32,
    /// How its connection was made; nothing but the peer if it stood already.
    pub(crate) stages: Stages,
    /// Whether a reply began, and was not a status alone.
    pub(crate) has_started: bool,
    /// From the request to the end of the reply, in the last attempt.
    pub(crate) rpc: Option<Duration>,
    pub(crate) total: Duration,
}

impl<Reply: Default> Call<Reply> {
    pub(crate) fn new(target: Arc<Target>) -> Call<Reply> {
        Call {
            result: Ok(Reply::default()),
            headers: HeaderMap::new(),
            trailers: HeaderMap::new(),
            target,
            attempts: 0,
            stages: Stages::default(),
            has_started: false,
            rpc: None,
            total: Duration::ZERO,
        }
    }
}

impl<Reply> Call<Reply> {
    /// Who says that it answered.
    pub(crate) fn instance(&self) -> Option<&str> {
        self.headers.get(INSTANCE).and_then(|name| name.to_str().ok())
    }

    /// Where the time went: `dns 9us, tcp 85us, http2 1.2ms, rpc 5s`.
    pub(crate) fn times(&self) -> String {
        let stages = &self.stages;
        let times = [
            ("dns", stages.dns),
            ("tcp", stages.tcp),
            ("tls", stages.tls),
            ("http2", stages.http2),
            ("rpc", self.rpc),
        ];
        let times = times
            .iter()
            .filter_map(|(name, took)| Some(format!("{name} {}", HumanDuration((*took)?))));
        times.collect::<Vec<_>>().join(", ")
    }
}
