//! The services themselves, and which of them answers a method.

use std::pin::Pin;

use greet_proto::{Greeter, GreeterServer};
use http::{Request, Response};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tower_service::Service;

use super::health::Health;
use super::method::Method;
use super::reflection::{self, Reflection};
use super::request_body::RequestBody;
use crate::lifecycle::Phase;

/// A generated service with its type forgotten, so that a signature is not a list of all of them.
pub(super) type Handler = Box<dyn Fn(Request<RequestBody>) -> Answer>;
type Answer = Pin<Box<dyn Future<Output = Response<Body>>>>;

/// One worker's own copies: cloning an `Arc` that workers share would move its cache line between
/// cores at every call.
pub(crate) struct Services {
    greeter: Handler,
    health: Handler,
    reflection: Option<Reflection>,
}

impl Services {
    pub(crate) fn new(
        greeter: impl Greeter,
        phase: watch::Receiver<Phase>,
        with_reflection: bool,
    ) -> Services {
        Services {
            greeter: handler(GreeterServer::new(greeter)),
            health: handler(HealthServer::new(Health::new(phase))),
            reflection: with_reflection.then(Reflection::new),
        }
    }

    pub(super) async fn dispatch(
        &self,
        method: Method,
        request: Request<RequestBody>,
    ) -> Response<Body> {
        let handler = match (method, &self.reflection) {
            (Method::SayHello, _) => &self.greeter,
            (Method::HealthCheck | Method::HealthWatch, _) => &self.health,
            (Method::ReflectionV1, Some(reflection)) => &reflection.v1,
            (Method::ReflectionV1Alpha, Some(reflection)) => &reflection.v1alpha,
            (Method::ReflectionV1 | Method::ReflectionV1Alpha, None) => {
                return Status::unimplemented(reflection::OFF).into_http();
            }
        };
        handler(request).await
    }
}

/// Forgets the type of a generated service. Its `poll_ready` is always ready and its error never
/// happens, so what is left of it is a function.
pub(super) fn handler<S>(service: S) -> Handler
where
    S: Service<Request<RequestBody>, Response = Response<Body>> + Clone + 'static,
    S::Future: 'static,
{
    Box::new(move |request| {
        let answer = service.clone().call(request);
        Box::pin(async move {
            match answer.await {
                Ok(response) => response,
                Err(_infallible) => Status::new(Code::Internal, "").into_http(),
            }
        })
    })
}
