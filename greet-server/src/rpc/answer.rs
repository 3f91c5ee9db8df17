//! The way of a call, on one screen: guard, dispatch, deadline, handler, count.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use super::deadline::Deadline;
use super::in_flight::InFlight;
use super::method::{Method, Requests};
use super::not_grpc;
use super::progress::Progress;
use super::reply_body::{ReplyBody, stream_end};
use super::request_body::RequestBody;
use super::services::Services;
use super::shedding::Lease;
use super::unary;
use crate::config::Limits;
use crate::phase::Phase;
use crate::stats::Stats;
use crate::traffic::Traffic;

/// Carries the name of `--instance` in every reply.
const INSTANCE_HEADER: HeaderName = HeaderName::from_static("greet-instance");

/// How the messages of a request are compressed.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// A path is echoed up to this length: a status travels in a header, and peers limit those.
const MOST_ECHOED_PATH_BYTES: usize = 256;

/// How long after its deadline a reply (DEADLINE_EXCEEDED by then) may wait for a peer that gives it
/// no window. After that the stream is reset: it would stay for as long as the peer likes.
const DELIVERY_GRACE: Duration = Duration::from_secs(1);

/// One worker's services and what every call passes on its way to them.
pub(crate) struct Rpc {
    pub(crate) services: Services,
    pub(crate) limits: Limits,
    pub(crate) instance: Option<HeaderValue>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) places: Rc<Lease>,
}

/// A call of which the headers are known and nothing has run.
pub(crate) struct Call {
    rpc: Rc<Rpc>,
    in_flight: Rc<InFlight>,
    admitted: Result<Admitted, Box<Response<Body>>>,
    progress: Progress,
}

/// The reply to a call, in the making. Boxed: it is moved several times on its way to the runtime.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<ReplyBody>, Infallible>>>>;

/// What ends a call whose peer does not take its reply.
#[derive(Debug)]
pub(crate) enum Bound {
    /// A moment.
    At(Instant),
    /// That nothing moves.
    Progress(Progress),
}

/// What it is and how long it may take.
#[derive(Clone, Copy)]
struct Admitted {
    method: Method,
    /// For the request to arrive and the handler to answer.
    head: Deadline,
    /// For a reply that streams: it lives as long as both sides want it to, and only its client may
    /// give it an end.
    stream: Option<Deadline>,
}

impl Call {
    pub(crate) fn new(rpc: Rc<Rpc>, traffic: Rc<Traffic>, request: &Request<Incoming>) -> Call {
        let has_place = rpc.places.take();
        let in_flight = InFlight::begin(traffic, has_place.then(|| rpc.places.clone()));
        let admitted = match not_grpc::refusal(request) {
            Some(refusal) => Err(refusal),
            None if has_place => admit(request, &rpc.limits).map_err(Status::into_http),
            None => Err(full().into_http()),
        };
        Call { rpc, in_flight, admitted: admitted.map_err(Box::new), progress: Progress::default() }
    }

    /// Until when the last byte of it must have been taken by the peer.
    pub(crate) fn bound(&self) -> Bound {
        let deadline = match self.admitted {
            Ok(Admitted { stream: Some(deadline), .. }) => deadline,
            Ok(Admitted { head, stream: None, .. }) => head,
            Err(_) => Deadline::after(self.rpc.limits.request_timeout),
        };
        match deadline.at() {
            Some(at) => Bound::At(at + DELIVERY_GRACE),
            None => Bound::Progress(self.progress.clone()),
        }
    }

    /// Answers it, whatever it is; the answer counts as in flight until its body has ended.
    pub(crate) fn answer(self, request: Request<Incoming>) -> Answer {
        let Call { rpc, in_flight, admitted, progress } = self;
        match admitted {
            Ok(Admitted { method: Method::SayHello, head, .. }) if !is_encoded(&request) => {
                Box::pin(async move {
                    let response = rpc.greet(head, request).await;
                    Ok(rpc.finish(response, in_flight))
                })
            }
            Ok(admitted) => Box::pin(async move {
                let response = rpc.perform(admitted, request, progress).await;
                Ok(rpc.finish(response, in_flight))
            }),
            Err(refusal) => {
                Box::pin(async move { Ok(rpc.finish(Ok(refusal.map(ReplyBody::new)), in_flight)) })
            }
        }
    }
}

fn admit(request: &Request<Incoming>, limits: &Limits) -> Result<Admitted, Status> {
    let path = request.uri().path();
    let method = Method::from_path(path).ok_or_else(|| unknown_method(path))?;
    let head = Deadline::of(request.headers(), Some(limits.request_timeout))?;
    let stream = match method.is_streaming() {
        true => Some(Deadline::of(request.headers(), None)?),
        false => None,
    };
    Ok(Admitted { method, head, stream })
}

fn full() -> Status {
    Status::resource_exhausted("the server has all the calls it can take")
}

fn unknown_method(path: &str) -> Status {
    let echoed = &path[..path.floor_char_boundary(MOST_ECHOED_PATH_BYTES)];
    Status::unimplemented(format!("unknown method {echoed}"))
}

/// Whether its messages may be compressed.
fn is_encoded(request: &Request<Incoming>) -> bool {
    request.headers().contains_key(ENCODING)
}

impl Rpc {
    /// SayHello, the short way.
    async fn greet(
        &self,
        deadline: Deadline,
        request: Request<Incoming>,
    ) -> Result<Response<ReplyBody>, Status> {
        let limit = self.limits.max_message_bytes;
        let request = request.map(|body| RequestBody::new(body, Requests::One, limit));
        let greeter = &*self.services.greeter;
        deadline.bound(unary::call(request, |request| greeter.say_hello(request))).await?
    }

    /// Any method, by what was generated for it.
    async fn perform(
        &self,
        Admitted { method, head, stream }: Admitted,
        request: Request<Incoming>,
        progress: Progress,
    ) -> Result<Response<ReplyBody>, Status> {
        let limit = self.limits.max_message_bytes;
        let request = request.map(|body| RequestBody::new(body, method.requests(), limit));
        // A handler that panics costs its own call; the connection and its other calls go on.
        let handler = AssertUnwindSafe(self.services.dispatch(method, request)).catch_unwind();
        let response = head.bound(handler).await?.map_err(unary::panicked)?;
        Ok(response.map(|body| match stream {
            Some(deadline) => {
                let end = stream_end(deadline, self.phase.clone());
                ReplyBody::new(body).streaming(end, progress)
            }
            None => ReplyBody::new(body),
        }))
    }

    /// What every reply has, however it came about.
    fn finish(
        &self,
        response: Result<Response<ReplyBody>, Status>,
        in_flight: Rc<InFlight>,
    ) -> Response<ReplyBody> {
        let mut response = response.unwrap_or_else(Status::into_http);
        if let Some(instance) = &self.instance {
            response.headers_mut().insert(INSTANCE_HEADER, instance.clone());
        }
        response.map(|body| body.counting(in_flight))
    }
}
