//! The way of a call, on one screen: guard, dispatch, deadline, handler, count.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use greet_proto::HelloRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use super::access_log::AccessLog;
use super::call_record::Record;
use super::concurrency_limit::Lease;
use super::deadline::Deadline;
use super::in_flight::InFlight;
use super::method::{Method, Requests};
use super::reject;
use super::request_body::RequestBody;
use super::response_body::{ReplyBody, stream_end};
use super::stall::Progress;
use super::unary;
use super::web::{Cors, Encoding, Received, Seen, WebCall};
use crate::config::Limits;
use crate::grpc::connection_state::Traffic;
use crate::lifecycle::phase::Phase;
use crate::services::Services;
use crate::telemetry::metrics::worker::Stats;
use crate::telemetry::otel::Tracer;

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
    pub(crate) places: Lease,
    pub(crate) access_log: AccessLog,
    /// Without it there are no spans.
    pub(crate) tracer: Option<Tracer>,
    /// Who may call by gRPC-Web; without it nobody may.
    pub(crate) cors: Option<Cors>,
}

/// A call of which the headers are known and nothing has run.
pub(crate) struct Call {
    rpc: Rc<Rpc>,
    in_flight: Rc<InFlight>,
    arrived: Instant,
    web: Option<Box<WebCall>>,
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

impl Bound {
    /// Whether it has come to that.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Bound::At(at) => Instant::now() >= *at,
            Bound::Progress(progress) => progress.is_missing_now(),
        }
    }
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
        let arrived = Instant::now();
        let has_place = rpc.places.take();
        let (web, refusal) = match rpc.cors.as_ref().map(|cors| Seen::of(request, cors)) {
            Some(Seen::Call(web)) => (Some(Box::new(web)), None),
            Some(Seen::Preflight(answer)) => (None, Some(answer)),
            Some(Seen::Other(cors)) => (None, reject::refusal(request, cors)),
            None => (None, reject::refusal(request, HeaderMap::new())),
        };
        let (record, admitted) = match refusal {
            Some(refusal) => {
                rpc.stats.not_grpc.add(1);
                (None, Err(refusal))
            }
            None => {
                let method = Method::from_path(request.uri().path());
                let record = Record::begin(&rpc, method, request, arrived);
                let admitted = match has_place {
                    true => admit(method, request, &rpc.limits, arrived),
                    false => Err(full()),
                };
                (Some(record), admitted.map_err(Status::into_http))
            }
        };
        let in_flight = InFlight::begin(rpc.clone(), traffic, has_place, record);
        let admitted = admitted.map_err(Box::new);
        Call { rpc, in_flight, arrived, web, admitted, progress: Progress::default() }
    }

    /// Until when the last byte of it must have been taken by the peer.
    pub(crate) fn bound(&self) -> Bound {
        let deadline = match self.admitted {
            Ok(Admitted { stream: Some(deadline), .. }) => deadline,
            Ok(Admitted { head, stream: None, .. }) => head,
            Err(_) => Deadline::after(self.arrived, self.rpc.limits.request_timeout),
        };
        match deadline.at() {
            Some(at) => Bound::At(at + DELIVERY_GRACE),
            None => Bound::Progress(self.progress.clone()),
        }
    }

    /// Answers it, whatever it is; the answer counts as in flight until its body has ended.
    pub(crate) fn answer(self, request: Request<Incoming>) -> Answer {
        let Call { rpc, in_flight, web, admitted, progress, .. } = self;
        let encoding = web.as_ref().map_or(Encoding::Binary, |web| web.request());
        let version = request.version();
        let request = request.map(|body| Received::new(body, encoding, version));
        match admitted {
            Ok(Admitted { method: Method::SayHello, head, .. }) if !is_encoded(&request) => {
                Box::pin(async move {
                    let response = rpc.greet(head, request, &in_flight).await;
                    Ok(rpc.finish(response, in_flight, web))
                })
            }
            Ok(admitted) => Box::pin(async move {
                let response = rpc.perform(admitted, request, progress, &in_flight).await;
                Ok(rpc.finish(response, in_flight, web))
            }),
            Err(refusal) => {
                Box::pin(
                    async move { Ok(rpc.finish(Ok(refusal.map(ReplyBody::new)), in_flight, web)) },
                )
            }
        }
    }
}

fn admit(
    method: Option<Method>,
    request: &Request<Incoming>,
    limits: &Limits,
    arrived: Instant,
) -> Result<Admitted, Status> {
    let method = method.ok_or_else(|| unknown_method(request.uri().path()))?;
    let head = Deadline::of(request.headers(), Some(limits.request_timeout), arrived)?;
    let stream = match method.is_streaming() {
        true => Some(Deadline::of(request.headers(), None, arrived)?),
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
fn is_encoded<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(ENCODING)
}

impl Rpc {
    /// SayHello, the short way.
    async fn greet(
        &self,
        deadline: Deadline,
        request: Request<Received>,
        in_flight: &InFlight,
    ) -> Result<Response<ReplyBody>, Status> {
        let limit = self.limits.max_message_bytes;
        let request = request.map(|body| RequestBody::new(body, Requests::One, limit));
        let greeter = &*self.services.greeter;
        let answered = unary::call(request, in_flight, |request: tonic::Request<HelloRequest>| {
            if let Some(record) = in_flight.record() {
                record.named(request.get_ref().name.len());
            }
            greeter.say_hello(request)
        });
        deadline.bound(answered).await?
    }

    /// Any method, by what was generated for it.
    async fn perform(
        &self,
        Admitted { method, head, stream }: Admitted,
        request: Request<Received>,
        progress: Progress,
        in_flight: &InFlight,
    ) -> Result<Response<ReplyBody>, Status> {
        let limit = self.limits.max_message_bytes;
        let reads = in_flight.record().map(Record::reads);
        let request =
            request.map(|body| RequestBody::new(body, method.requests(), limit).counting(reads));
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
        web: Option<Box<WebCall>>,
    ) -> Response<ReplyBody> {
        let mut response = response.unwrap_or_else(Status::into_http);
        if let Some(instance) = &self.instance {
            response.headers_mut().insert(INSTANCE_HEADER, instance.clone());
        }
        if let (true, Some(record)) = (response.body().is_end_stream(), in_flight.record()) {
            record.may_end_with(response.headers());
        }
        if let Some(web) = &web {
            web.label(response.headers_mut());
        }
        let encoding = web.map(|web| web.reply());
        response.map(|body| body.encoded(encoding).counting(in_flight))
    }
}
