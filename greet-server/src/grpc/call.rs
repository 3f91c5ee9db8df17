//! The way of a call, on one screen: guard, dispatch, deadline, handler, count.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tower_service::Service;

use super::call_record::CallRecord;
use super::deadline::Deadline;
use super::in_flight::InFlight;
use super::method::Method;
use super::reject;
use super::request_body::RequestBody;
use super::response_body::{ResponseBody, stream_end};
use super::stall::StallDetector;
use super::unary;
use super::web::{DecodedBody, Encoding, WebCall, WebRequest};
use super::worker_state::WorkerState;
use crate::config::Limits;
use crate::grpc::connection_state::ConnectionState;

/// Carries the name of `--instance` in every reply.
const INSTANCE_HEADER: HeaderName = HeaderName::from_static("greet-instance");

/// A path is echoed up to this length: a status travels in a header, and peers limit those.
const MAX_ECHOED_PATH_BYTES: usize = 256;

/// How long after its deadline a reply (DEADLINE_EXCEEDED by then) may wait for a peer that gives it
/// no window. After that the stream is reset: it would stay for as long as the peer likes.
const DELIVERY_GRACE: Duration = Duration::from_secs(1);

/// The services of a worker, as calls reach them.
pub(crate) trait Dispatch {
    /// Returns the method with this path, if it is served.
    fn method(&self, path: &str) -> Option<&'static Method>;

    /// Hands an admitted call to its method.
    fn dispatch(
        self: Rc<Self>,
        call: AdmittedCall,
        request: Request<DecodedBody>,
    ) -> ResponseFuture;
}

/// A generated service as a function, which hides its type.
pub(crate) type Handler = Rc<dyn Fn(Request<RequestBody>) -> GeneratedFuture>;

/// The future of every generated service; a failed call is a response too.
type GeneratedFuture = BoxFuture<Response<Body>, Infallible>;

/// Wraps a generated service, which is always ready.
pub(crate) fn handler<S>(service: S) -> Handler
where
    S: Service<
            Request<RequestBody>,
            Response = Response<Body>,
            Error = Infallible,
            Future = GeneratedFuture,
        >,
    S: Clone + 'static,
{
    Rc::new(move |request| service.clone().call(request))
}

/// The services of a worker, and the state that all its calls share.
pub(crate) struct Router {
    pub(crate) services: Rc<dyn Dispatch>,
    pub(crate) state: Rc<WorkerState>,
}

/// A call of which the headers are known and nothing has run.
pub(crate) struct Call {
    services: Rc<dyn Dispatch>,
    reply: Reply,
    arrived: Instant,
    admitted: Result<Admitted, Box<Response<Body>>>,
    stall: StallDetector,
}

/// A call that may reach its method.
pub(crate) struct AdmittedCall {
    reply: Reply,
    admitted: Admitted,
    stall: StallDetector,
}

/// What a reply needs from its call, whatever it says.
struct Reply {
    state: Rc<WorkerState>,
    in_flight: Rc<InFlight>,
    web: Option<Box<WebCall>>,
}

/// The future of a response. Boxed, because it is moved several times before it is polled.
pub(crate) type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>>>>;

/// What ends a call whose peer does not take its reply.
#[derive(Debug)]
pub(crate) enum DeliveryDeadline {
    /// A moment.
    At(Instant),
    /// That nothing moves.
    Stall(StallDetector),
}

impl DeliveryDeadline {
    /// Whether it has come to that.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            DeliveryDeadline::At(at) => Instant::now() >= *at,
            DeliveryDeadline::Stall(stall) => stall.is_stalled(),
        }
    }
}

/// What it is and how long it may take.
#[derive(Clone, Copy)]
struct Admitted {
    method: &'static Method,
    /// For the request to arrive and the handler to answer.
    head: Deadline,
    /// For a reply that streams: it lives as long as both sides want it to, and only its client may
    /// give it an end.
    stream: Option<Deadline>,
}

impl Call {
    pub(crate) fn new(
        router: &Router,
        connection: Rc<ConnectionState>,
        request: &Request<Incoming>,
    ) -> Call {
        let Router { services, state } = router;
        let arrived = Instant::now();
        let has_place = state.concurrency.take();
        let web_request = state.cors.as_ref().map(|cors| WebRequest::classify(request, cors));
        let (web, rejection) = match web_request {
            Some(WebRequest::Call(web)) => (Some(Box::new(web)), None),
            Some(WebRequest::Preflight(response)) => (None, Some(response)),
            Some(WebRequest::Other(cors)) => (None, reject::rejection(request, cors)),
            None => (None, reject::rejection(request, HeaderMap::new())),
        };
        let (record, admitted) = match rejection {
            Some(response) => {
                state.metrics.not_grpc.add(1);
                (None, Err(response))
            }
            None => {
                let method = services.method(request.uri().path());
                let record = CallRecord::begin(state, method, request, arrived);
                let admitted = if has_place {
                    admit(method, request, &state.limits, arrived)
                } else {
                    Err(Status::resource_exhausted("the server has all the calls it can take"))
                };
                (Some(record), admitted.map_err(Status::into_http))
            }
        };
        let in_flight = InFlight::begin(state.clone(), connection, has_place, record);
        Call {
            services: services.clone(),
            reply: Reply { state: state.clone(), in_flight, web },
            arrived,
            admitted: admitted.map_err(Box::new),
            stall: StallDetector::default(),
        }
    }

    /// Until when the last byte of it must have been taken by the peer.
    pub(crate) fn bound(&self) -> DeliveryDeadline {
        let deadline = match self.admitted {
            Ok(Admitted { stream: Some(deadline), .. }) => deadline,
            Ok(Admitted { head, stream: None, .. }) => head,
            Err(_) => Deadline::after(self.arrived, self.reply.state.limits.request_timeout),
        };
        match deadline.at() {
            Some(at) => DeliveryDeadline::At(at + DELIVERY_GRACE),
            None => DeliveryDeadline::Stall(self.stall.clone()),
        }
    }

    /// Answers it, whatever it is; the answer counts as in flight until its body has ended.
    pub(crate) fn answer(self, request: Request<Incoming>) -> ResponseFuture {
        let Call { services, reply, admitted, stall, .. } = self;
        let web = reply.web.as_ref();
        let is_base64 = web.is_some_and(|web| web.request_encoding == Encoding::Text);
        let version = request.version();
        let request = request.map(|body| DecodedBody::new(body, is_base64, version));
        match admitted {
            Ok(admitted) => services.dispatch(AdmittedCall { reply, admitted, stall }, request),
            Err(refusal) => {
                Box::pin(async move { Ok(reply.finish(Ok(refusal.map(ResponseBody::new)))) })
            }
        }
    }
}

fn admit(
    method: Option<&'static Method>,
    request: &Request<Incoming>,
    limits: &Limits,
    arrived: Instant,
) -> Result<Admitted, Status> {
    let method = method.ok_or_else(|| unknown_method(request.uri().path()))?;
    let head = Deadline::of(request.headers(), Some(limits.request_timeout), arrived)?;
    let stream = if method.is_server_streaming {
        Some(Deadline::of(request.headers(), None, arrived)?)
    } else {
        None
    };
    Ok(Admitted { method, head, stream })
}

fn unknown_method(path: &str) -> Status {
    let echoed = &path[..path.floor_char_boundary(MAX_ECHOED_PATH_BYTES)];
    Status::unimplemented(format!("unknown method {echoed}"))
}

impl AdmittedCall {
    pub(crate) fn method(&self) -> &'static Method {
        self.admitted.method
    }

    pub(crate) fn in_flight(&self) -> Rc<InFlight> {
        self.reply.in_flight.clone()
    }

    /// Answers by the fast path: one message in, one message out, none of them compressed.
    pub(crate) fn unary<Asked, Answered, H, F>(
        self,
        request: Request<DecodedBody>,
        handler: H,
    ) -> ResponseFuture
    where
        Asked: prost::Message + Default,
        Answered: prost::Message,
        H: FnOnce(tonic::Request<Asked>) -> F + 'static,
        F: Future<Output = Result<tonic::Response<Answered>, Status>> + 'static,
    {
        let AdmittedCall { reply, admitted: Admitted { method, head, .. }, .. } = self;
        Box::pin(async move {
            let limit = reply.state.limits.max_message_bytes;
            let request = request.map(|body| RequestBody::new(body, method, limit));
            let answered = unary::call(request, &reply.in_flight, handler);
            let response = head.bound(answered).await.flatten();
            Ok(reply.finish(response))
        })
    }

    /// Answers by the service that was generated for the method.
    pub(crate) fn generated(
        self,
        request: Request<DecodedBody>,
        handler: Handler,
    ) -> ResponseFuture {
        let AdmittedCall { reply, admitted: Admitted { method, head, stream }, stall } = self;
        Box::pin(async move {
            let limit = reply.state.limits.max_message_bytes;
            let reads = reply.in_flight.record().map(CallRecord::reads);
            let request =
                request.map(|body| RequestBody::new(body, method, limit).count_reads(reads));
            // A handler that panics costs its own call; the connection and its other calls go on.
            let handler = AssertUnwindSafe(async { handler(request).await }).catch_unwind();
            let response = head.bound(handler).await;
            let response = response.and_then(|handled| handled.map_err(unary::panicked));
            let response = response.map(|Ok(response)| {
                response.map(|body| match stream {
                    Some(deadline) => {
                        let end = stream_end(deadline, reply.state.phase.clone());
                        ResponseBody::new(body).streaming(end, stall)
                    }
                    None => ResponseBody::new(body),
                })
            });
            Ok(reply.finish(response))
        })
    }

    /// Answers with `status`, without reading the request.
    pub(crate) fn fail(self, status: Status) -> ResponseFuture {
        Box::pin(async move { Ok(self.reply.finish(Err(status))) })
    }
}

impl Reply {
    /// Adds what every reply has, however it came about.
    fn finish(self, response: Result<Response<ResponseBody>, Status>) -> Response<ResponseBody> {
        let Reply { state, in_flight, web } = self;
        let mut response = response.unwrap_or_else(Status::into_http);
        if let Some(instance) = &state.instance {
            response.headers_mut().insert(INSTANCE_HEADER, instance.clone());
        }
        if let (true, Some(record)) = (response.body().is_end_stream(), in_flight.record()) {
            record.may_end_with(response.headers());
        }
        if let Some(web) = &web {
            web.add_headers(response.headers_mut());
        }
        let encoding = web.map(|web| web.response_encoding);
        response.map(|body| body.encoded(encoding).counting(in_flight))
    }
}
