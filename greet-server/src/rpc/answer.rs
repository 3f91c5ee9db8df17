//! The way of a call, on one screen: guard, dispatch, deadline, handler, count.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;

use super::deadline::Deadline;
use super::in_flight::{InFlight, OpenCalls};
use super::method::Method;
use super::not_grpc;
use super::reply_body::{ReplyBody, stream_end};
use super::request_body::RequestBody;
use super::services::Services;
use crate::config::Limits;
use crate::phase::Phase;
use crate::stats::Stats;

/// Carries the name of `--instance` in every reply.
const INSTANCE_HEADER: HeaderName = HeaderName::from_static("greet-instance");

/// A path is echoed up to this length: a status travels in a header, and peers limit those.
const MOST_ECHOED_PATH_BYTES: usize = 256;

/// One worker's services and what every call passes on its way to them.
pub(crate) struct Rpc {
    pub(crate) services: Services,
    pub(crate) limits: Limits,
    pub(crate) instance: Option<HeaderValue>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) stats: Arc<Stats>,
}

impl Rpc {
    pub(crate) fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Answers one request, whatever it is; the answer counts until its body has ended.
    pub(crate) async fn answer(
        self: Rc<Self>,
        request: Request<Incoming>,
        open_calls: OpenCalls,
    ) -> Response<ReplyBody> {
        let call = InFlight::begin(self.stats.clone(), open_calls);
        let mut response = match not_grpc::refusal(&request) {
            Some(refusal) => refusal.map(ReplyBody::new),
            None => self.call(request).await.unwrap_or_else(Status::into_http),
        };
        if let Some(instance) = &self.instance {
            let headers = response.headers_mut();
            headers.insert(INSTANCE_HEADER, instance.clone());
        }
        response.map(|body| body.counting(call))
    }

    async fn call(&self, request: Request<Incoming>) -> Result<Response<ReplyBody>, Status> {
        let method = Method::from_path(request.uri().path())
            .ok_or_else(|| unknown_method(request.uri().path()))?;
        let deadline = Deadline::of(request.headers(), self.limit(method))?;
        let request = request
            .map(|body| RequestBody::new(body, method.requests(), self.limits.max_message_bytes));
        let response = deadline.bound(self.perform(method, request)).await??;
        Ok(response.map(|body| {
            let body = ReplyBody::new(body);
            match method.is_streaming() {
                true => body.ending_at(stream_end(deadline, self.phase.clone())),
                false => body,
            }
        }))
    }

    /// A handler that panics costs its own call; the connection and its other calls go on.
    async fn perform(
        &self,
        method: Method,
        request: Request<RequestBody>,
    ) -> Result<Response<Body>, Status> {
        let handler = std::panic::AssertUnwindSafe(self.services.dispatch(method, request));
        let response = handler.catch_unwind().await;
        response.map_err(|_panic| Status::internal("the handler failed"))
    }

    /// A stream lives as long as both sides want it to: only its client may give it a deadline.
    fn limit(&self, method: Method) -> Option<Duration> {
        (!method.is_streaming()).then_some(self.limits.request_timeout)
    }
}

fn unknown_method(path: &str) -> Status {
    let echoed = &path[..path.floor_char_boundary(MOST_ECHOED_PATH_BYTES)];
    Status::unimplemented(format!("unknown method {echoed}"))
}
