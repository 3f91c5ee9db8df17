//! Takes a call from its headers to its response: rejection, admission, routing, deadline, handler.

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
use super::connection_state::ConnectionState;
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

/// The header with the name of `--instance` in every response.
const INSTANCE_HEADER: HeaderName = HeaderName::from_static("greet-instance");

/// Bytes of an unknown path that the status repeats; peers limit the size of headers.
const MAX_ECHOED_PATH_BYTES: usize = 256;

/// Time after the deadline for the peer to open its flow-control window for the response, which is
/// DEADLINE_EXCEEDED by then. The stream is reset at its end.
const DELIVERY_GRACE: Duration = Duration::from_secs(1);

/// The services of a worker and the state that its calls share.
pub(crate) struct Router {
    pub(crate) services: Rc<dyn Dispatch>,
    pub(crate) state: Rc<WorkerState>,
}

/// The interface of the services.
pub(crate) trait Dispatch {
    /// Returns the method with this path, if it is served.
    fn method(&self, path: &str) -> Option<&'static Method>;

    /// Passes an admitted call to its method.
    fn dispatch(
        self: Rc<Self>,
        call: AdmittedCall,
        request: Request<DecodedBody>,
    ) -> ResponseFuture;
}

/// The future of a response. Boxed, because it is moved several times before it is polled.
pub(crate) type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>>>>;

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

/// A call whose headers have arrived and whose method has not run.
pub(crate) struct Call {
    services: Rc<dyn Dispatch>,
    responder: Responder,
    arrived: Instant,
    /// The response, if the call does not reach a method.
    route: Result<Route, Box<Response<Body>>>,
    stall: StallDetector,
}

/// A call that reaches its method.
pub(crate) struct AdmittedCall {
    responder: Responder,
    route: Route,
    stall: StallDetector,
}

/// The method of a call, and its deadlines.
#[derive(Clone, Copy)]
struct Route {
    method: &'static Method,
    /// For the request to arrive and the method to start its response.
    head: Deadline,
    /// For the end of a streaming response: only the client can limit it.
    stream: Option<Deadline>,
}

/// Completes the response to a call.
struct Responder {
    state: Rc<WorkerState>,
    in_flight: Rc<InFlight>,
    web: Option<Box<WebCall>>,
}

/// The limit on a peer that does not read the response.
#[derive(Debug)]
pub(crate) enum DeliveryDeadline {
    At(Instant),
    /// As long as the stream is not stalled.
    Stall(StallDetector),
}

impl DeliveryDeadline {
    pub(crate) fn has_passed(&self) -> bool {
        match self {
            DeliveryDeadline::At(at) => Instant::now() >= *at,
            DeliveryDeadline::Stall(stall) => stall.is_stalled(),
        }
    }
}

impl Call {
    pub(crate) fn new(
        router: &Router,
        connection: Rc<ConnectionState>,
        request: &Request<Incoming>,
    ) -> Call {
        let Router { services, state } = router;
        let arrived = Instant::now();
        let has_permit = state.concurrency.try_acquire();
        let web_request = state.cors.as_ref().map(|cors| WebRequest::classify(request, cors));
        let (web, rejection) = match web_request {
            Some(WebRequest::Call(web)) => (Some(Box::new(web)), None),
            Some(WebRequest::Preflight(response)) => (None, Some(response)),
            Some(WebRequest::Other(cors)) => (None, reject::rejection(request, cors)),
            None => (None, reject::rejection(request, HeaderMap::new())),
        };
        let (record, route) = match rejection {
            Some(response) => {
                state.metrics.not_grpc.add(1);
                (None, Err(response))
            }
            None => {
                let method = services.method(request.uri().path());
                let record = CallRecord::start(state, method, request, arrived);
                let route = if has_permit {
                    route(method, request, &state.limits, arrived)
                } else {
                    Err(Status::resource_exhausted(
                        "the server is at its limit of concurrent calls",
                    ))
                };
                (Some(record), route.map_err(Status::into_http))
            }
        };
        let in_flight = InFlight::start(state.clone(), connection, has_permit, record);
        Call {
            services: services.clone(),
            responder: Responder { state: state.clone(), in_flight, web },
            arrived,
            route: route.map_err(Box::new),
            stall: StallDetector::default(),
        }
    }

    /// Returns the limit for the peer to accept the last byte of the response.
    pub(crate) fn delivery_deadline(&self) -> DeliveryDeadline {
        let deadline = match self.route {
            Ok(Route { head, stream, .. }) => stream.unwrap_or(head),
            Err(_) => Deadline::after(self.arrived, self.responder.state.limits.request_timeout),
        };
        match deadline.at() {
            Some(at) => DeliveryDeadline::At(at + DELIVERY_GRACE),
            None => DeliveryDeadline::Stall(self.stall.clone()),
        }
    }

    /// Answers the call, which stays in flight until the end of the response body.
    pub(crate) fn answer(self, request: Request<Incoming>) -> ResponseFuture {
        let Call { services, responder, route, stall, .. } = self;
        let web = responder.web.as_ref();
        let is_base64 = web.is_some_and(|web| web.request_encoding == Encoding::Text);
        let version = request.version();
        let request = request.map(|body| DecodedBody::new(body, is_base64, version));
        match route {
            Ok(route) => services.dispatch(AdmittedCall { responder, route, stall }, request),
            Err(response) => {
                Box::pin(async move { Ok(responder.respond(Ok(response.map(ResponseBody::new)))) })
            }
        }
    }
}

fn route(
    method: Option<&'static Method>,
    request: &Request<Incoming>,
    limits: &Limits,
    arrived: Instant,
) -> Result<Route, Status> {
    let method = method.ok_or_else(|| unknown_method(request.uri().path()))?;
    let deadline = |max| Deadline::from_headers(request.headers(), max, arrived);
    let head = deadline(Some(limits.request_timeout))?;
    let stream = if method.is_server_streaming { Some(deadline(None)?) } else { None };
    Ok(Route { method, head, stream })
}

fn unknown_method(path: &str) -> Status {
    let echoed = &path[..path.floor_char_boundary(MAX_ECHOED_PATH_BYTES)];
    Status::unimplemented(format!("unknown method {echoed}"))
}

impl AdmittedCall {
    pub(crate) fn method(&self) -> &'static Method {
        self.route.method
    }

    pub(crate) fn in_flight(&self) -> Rc<InFlight> {
        self.responder.in_flight.clone()
    }

    /// Answers on the fast path: one message each way, neither of them compressed.
    pub(crate) fn unary<Req, Res, H, F>(
        self,
        request: Request<DecodedBody>,
        handler: H,
    ) -> ResponseFuture
    where
        Req: prost::Message + Default,
        Res: prost::Message,
        H: FnOnce(tonic::Request<Req>) -> F + 'static,
        F: Future<Output = Result<tonic::Response<Res>, Status>> + 'static,
    {
        let AdmittedCall { responder, route: Route { method, head, .. }, .. } = self;
        Box::pin(async move {
            let limit = responder.state.limits.max_message_bytes;
            let request = request.map(|body| RequestBody::new(body, method, limit));
            let response = unary::call(request, &responder.in_flight, handler);
            let response = head.timeout(response).await.flatten();
            Ok(responder.respond(response))
        })
    }

    /// Answers with the generated service of the method.
    pub(crate) fn generated(
        self,
        request: Request<DecodedBody>,
        handler: Handler,
    ) -> ResponseFuture {
        let AdmittedCall { responder, route: Route { method, head, stream }, stall } = self;
        Box::pin(async move {
            let limit = responder.state.limits.max_message_bytes;
            let counter = responder.in_flight.record().map(CallRecord::read_counter);
            let request =
                request.map(|body| RequestBody::new(body, method, limit).count_reads(counter));
            // A panic fails this call only; the connection and its other calls go on.
            let handler = AssertUnwindSafe(async { handler(request).await }).catch_unwind();
            let response = head.timeout(handler).await;
            let response = response.and_then(|result| result.map_err(unary::panicked));
            let response = response.map(|Ok(response)| {
                response.map(|body| match stream {
                    Some(deadline) => {
                        let end = stream_end(deadline, responder.state.phase.clone());
                        ResponseBody::new(body).streaming(end, stall)
                    }
                    None => ResponseBody::new(body),
                })
            });
            Ok(responder.respond(response))
        })
    }

    /// Answers with `status`, without reading the request.
    pub(crate) fn fail(self, status: Status) -> ResponseFuture {
        Box::pin(async move { Ok(self.responder.respond(Err(status))) })
    }
}

impl Responder {
    fn respond(self, response: Result<Response<ResponseBody>, Status>) -> Response<ResponseBody> {
        let Responder { state, in_flight, web } = self;
        let mut response = response.unwrap_or_else(Status::into_http);
        if let Some(instance) = &state.instance {
            response.headers_mut().insert(INSTANCE_HEADER, instance.clone());
        }
        if response.body().is_end_stream()
            && let Some(record) = in_flight.record()
        {
            record.set_status(response.headers());
        }
        if let Some(web) = &web {
            web.add_headers(response.headers_mut());
        }
        let encoding = web.map(|web| web.response_encoding);
        response.map(|body| body.encoded(encoding).tracking(in_flight))
    }
}
