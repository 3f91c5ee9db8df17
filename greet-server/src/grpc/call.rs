//! Takes a call from its headers to its method: rejection, admission, guard, routing, deadline.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tonic::Status;

use super::call_record::CallRecord;
use super::connection_state::ConnectionState;
use super::deadline::Deadline;
use super::faults::{CallFaults, WorkerFaults};
use super::guard::{Caller, Guard};
use super::in_flight::InFlight;
use super::memory::ConnectionMemory;
use super::message_scanner::MessageScanner;
use super::method::Method;
use super::reject;
use super::reply::Reply;
use super::service::ServedMethod;
use super::unary::{UnaryFuture, UnaryHandler};
use super::web::WebCall;
use super::web::cors::Cors;
use super::web::request::WebRequest;
use super::worker_state::WorkerState;
use crate::config::Limits;
use crate::telemetry::metrics::worker::CallKind;
use crate::telemetry::trace_context::{TraceContext, TraceId};

/// Maximum bytes of an unknown path in the status message: peers limit the size of headers.
const MAX_ECHOED_PATH_BYTES: usize = 256;

/// Time after the deadline for the peer to open its flow-control window for the response, by then
/// DEADLINE_EXCEEDED. Afterwards the stream is reset.
const DELIVERY_GRACE: Duration = Duration::from_secs(1);

/// The methods of a worker and the state that its calls share.
pub(crate) struct Router {
    /// By method index.
    pub(crate) methods: Box<[ServedMethod]>,
    pub(crate) guard: Option<Guard>,
    pub(crate) faults: WorkerFaults,
    /// `None` if gRPC-Web is off.
    pub(crate) cors: Option<Cors>,
    pub(crate) state: Rc<WorkerState>,
}

/// A call whose headers have arrived.
pub(super) struct Call {
    pub(super) router: Rc<Router>,
    pub(super) in_flight: Rc<InFlight>,
    /// `None` for a call that is not gRPC-Web.
    pub(super) web: Option<Box<WebCall>>,
    /// The faults to inject in front of the handler.
    pub(super) faults: Option<Box<CallFaults>>,
    pub(super) arrived: Instant,
}

/// The method of a call, and its deadlines.
#[derive(Clone, Copy)]
pub(super) struct Route {
    pub(super) method: Method,
    /// Limits the request and the start of the response.
    pub(super) head: Deadline,
    /// Limits the whole of a streaming response; only the client can set it.
    pub(super) stream: Option<Deadline>,
    /// Whether the request names a compression, which only the generated service decodes.
    pub(super) has_encoding: bool,
}

/// The headers that decide on a call, found in one pass. Of repeated headers the first counts.
#[derive(Default)]
struct CallHeaders<'a> {
    content_type: Option<&'a HeaderValue>,
    timeout: Option<&'a HeaderValue>,
    has_encoding: bool,
    has_trace: bool,
}

impl<'a> CallHeaders<'a> {
    fn find(headers: &'a HeaderMap) -> CallHeaders<'a> {
        let mut found = CallHeaders::default();
        for (name, value) in headers {
            match name.as_str() {
                "content-type" => _ = found.content_type.get_or_insert(value),
                "grpc-timeout" => _ = found.timeout.get_or_insert(value),
                "grpc-encoding" => found.has_encoding = true,
                "traceparent" => found.has_trace = true,
                _ => {}
            }
        }
        found
    }
}

impl Router {
    /// Starts a call. Returns its route, or its reply if it does not reach a method.
    pub(super) fn accept(
        self: &Rc<Self>,
        connection: &Rc<ConnectionState>,
        head: &mut Parts,
        arrived: Instant,
    ) -> (Call, Result<Route, Reply>) {
        let state = &self.state;
        let headers = CallHeaders::find(&head.headers);
        let (web, rejection) = match &self.cors {
            None => (None, reject::rejection(head, headers.content_type, HeaderMap::new)),
            Some(cors) => match WebRequest::classify(head, headers.content_type, cors) {
                WebRequest::Call(web) => (Some(Box::new(web)), None),
                WebRequest::Preflight(reply) => (None, Some(reply)),
                WebRequest::Other(cors) => {
                    (None, reject::rejection(head, headers.content_type, || cors))
                }
            },
        };
        let (record, route) = if let Some(reply) = rejection {
            state.metrics.not_grpc.add(1);
            (None, Err(reply))
        } else {
            let served = self.methods.iter().find(|served| served.method.path() == head.uri.path());
            let trace = headers.has_trace.then(|| TraceContext::from_headers(&head.headers));
            let trace = trace.flatten();
            let method = served.map(|served| served.method);
            let record = CallRecord::start(state, method, head, trace, arrived);
            let route = served
                .ok_or_else(|| unknown_method(head.uri.path()))
                .and_then(|served| Route::new(served.method, &headers, &state.limits, arrived));
            let route = route.and_then(|route| {
                self.ask_guard(route, connection, head, trace.map(|trace| trace.trace_id))
            });
            (Some(record), route.map_err(Reply::status))
        };
        let in_flight = InFlight::start(state.clone(), connection.clone(), record);
        let faults = route.as_ref().ok().and_then(|route| {
            let served = &self.methods[route.method.index];
            self.faults.draw(served)
        });
        let call = Call { router: self.clone(), in_flight, web, faults, arrived };
        (call, route)
    }

    /// Asks the guard, and adds the caller to the request for a service that wants it.
    fn ask_guard(
        &self,
        route: Route,
        connection: &ConnectionState,
        head: &mut Parts,
        trace_id: Option<TraceId>,
    ) -> Result<Route, Status> {
        let passes_caller = self.methods[route.method.index].passes_caller;
        if self.guard.is_some() || passes_caller {
            let caller = Caller {
                peer: connection.peer(),
                client_certificate: connection.client_certificate().cloned(),
                deadline: route.head.at(),
                trace_id,
            };
            if let Some(guard) = &self.guard {
                guard(&caller, &route.method, &head.headers)?;
            }
            if passes_caller {
                head.extensions.insert(caller);
            }
        }
        Ok(route)
    }
}

impl Route {
    fn new(
        method: Method,
        headers: &CallHeaders<'_>,
        limits: &Limits,
        arrived: Instant,
    ) -> Result<Route, Status> {
        let deadline = |limit| Deadline::resolve(headers.timeout, limit, arrived);
        let head = deadline(Some(limits.request_timeout))?;
        let is_streaming = method.descriptor.is_server_streaming;
        let stream = if is_streaming { Some(deadline(None)?) } else { None };
        Ok(Route { method, head, stream, has_encoding: headers.has_encoding })
    }

    /// Returns whether either side may send several messages.
    pub(super) fn is_streaming(&self) -> bool {
        let descriptor = &self.method.descriptor;
        descriptor.is_server_streaming || descriptor.is_client_streaming
    }
}

fn unknown_method(path: &str) -> Status {
    let echoed = &path[..path.floor_char_boundary(MAX_ECHOED_PATH_BYTES)];
    Status::unimplemented(format!("unknown method {echoed}"))
}

impl Call {
    /// Returns the method of the call with its handlers.
    pub(super) fn served(&self, route: &Route) -> &ServedMethod {
        &self.router.methods[route.method.index]
    }

    /// Counts the call against the limit of concurrent calls of its kind. A unary call counts only once
    /// its request has arrived: until then it costs its client as much as the server.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED at the limit.
    pub(super) fn admit(&self, route: &Route) -> Result<(), Status> {
        if route.is_streaming() {
            self.in_flight.admit(CallKind::Streaming)
        } else if self.served(route).is_limited {
            self.in_flight.admit(CallKind::Unary)
        } else {
            Ok(())
        }
    }

    /// Admits a unary call whose request has arrived, and starts its handler behind its faults.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED at the limit.
    pub(super) fn start_unary(
        &self,
        route: &Route,
        handler: &UnaryHandler,
        request: tonic::Request<Bytes>,
    ) -> Result<UnaryFuture, Status> {
        self.admit(route)?;
        let message_bytes = request.get_ref().len();
        let running = handler(request);
        Ok(match &self.faults {
            None => running,
            Some(faults) => self.behind_faults(**faults, message_bytes, running),
        })
    }

    /// Returns whether the handler, if it waits at its first poll, has not run yet.
    pub(super) fn is_delayed(&self) -> bool {
        self.faults.as_ref().is_some_and(|faults| faults.is_delay())
    }

    /// Delays a handler that has not run yet. Its message counts meanwhile.
    #[cold]
    fn behind_faults(
        &self,
        faults: CallFaults,
        message_bytes: usize,
        running: UnaryFuture,
    ) -> UnaryFuture {
        let held = self.memory().hold(message_bytes);
        let injected = faults.inject(self.in_flight.clone());
        Box::pin(async move {
            injected.await?;
            drop(held);
            running.await
        })
    }

    /// Returns the output of `arrival`, or DEADLINE_EXCEEDED at the deadline of the call or when the
    /// time for its request is over.
    pub(super) async fn arrived<T>(
        &self,
        route: &Route,
        arrival: impl Future<Output = T>,
    ) -> Result<T, Status> {
        let limit = self.state().limits.message_timeout;
        let arrival = Deadline::after(self.arrived, limit).timeout(arrival);
        let arrived = route.head.timeout(arrival).await?;
        arrived.map_err(|_exceeded| {
            let limit = humantime::format_duration(limit);
            Status::deadline_exceeded(format!("the request did not end within {limit}"))
        })
    }

    pub(super) fn scanner(&self, route: &Route) -> MessageScanner {
        let is_client_streaming = route.method.descriptor.is_client_streaming;
        MessageScanner::new(is_client_streaming, self.state().limits.max_message_bytes)
    }

    pub(super) fn state(&self) -> &WorkerState {
        &self.router.state
    }

    pub(super) fn memory(&self) -> &Arc<ConnectionMemory> {
        self.in_flight.memory()
    }

    pub(super) fn record(&self) -> Option<&CallRecord> {
        self.in_flight.record()
    }

    /// Returns when the peer must have accepted the last byte of the reply; `None` if only a lack of
    /// progress limits it.
    pub(super) fn expires_at(&self, route: Option<&Route>) -> Option<Instant> {
        let deadline = match route {
            Some(route) => route.stream.unwrap_or(route.head),
            None => Deadline::after(self.arrived, self.state().limits.request_timeout),
        };
        deadline.at().map(|at| at + DELIVERY_GRACE)
    }

    /// Adds the headers that every response has.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        self.state().template.add_instance(headers);
        if let Some(web) = &self.web {
            web.add_headers(headers);
        }
    }
}
